"""What compiling one operation shares: its selections, the names and arguments of its statement, and its size."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import graphql
from graphql.execution.collect_fields import FieldDetails, FragmentDetails, collect_fields, collect_subfields
from graphql.execution.values import VariableValues
from sqlalchemy import Uuid, bindparam, select

from app.errors import RequestError
from app.graphql.compiled.binding import Asked, Read, argument_reader, binder
from app.graphql.compiled.plans import VIEWER, ArgumentBinding, Declined
from app.graphql.compiled.statements import Json, Part, Scope, json_object
from app.graphql.relations.declarations import Row
from app.graphql.strawberry_internals import graphql_schema
from app.security.viewer import Viewer

_UNDERSTOOD_DIRECTIVES = {"skip", "include"}
# Compiling takes time on the event loop. A plain field takes 0.03 ms and costs 1; one that may be null takes 0.09 ms,
# a list of texts 0.17 ms, and each SELECT within 0.3 to 0.9 ms. The largest statements take 15 to 50 ms.
MAX_COST = 600
"""What compiling an operation may cost, with all that its mutations return."""
COST_OF_NULLABLE = 2
COST_OF_TEXTS = 4
_COST_OF_SOURCE = 15
_MAX_DEPTH = 30

Selection = Mapping[str, list[FieldDetails]]
"""The fields selected of an object, by the keys of the response; those of one key are merged."""

Field = Callable[[graphql.GraphQLObjectType, str, list[FieldDetails]], list[Part]]
"""Returns the parts of an object's field of this name."""


class BoundOperation(NamedTuple):
    """What is to be compiled, with the values of its variables now."""

    definition: graphql.OperationDefinitionNode
    fragments: Mapping[str, graphql.FragmentDefinitionNode]
    variables: VariableValues


class Compilation:
    """The compilation of one operation for one kind of viewer."""

    def __init__(
        self,
        schema: Any,
        operation: BoundOperation,
        viewer: Viewer | None,
        field: Callable[..., list[Part]],
        limit: int = MAX_COST,
    ) -> None:
        """Take what returns the parts of a field of an object that is made of a row, and what it may cost."""
        self.bindings: list[ArgumentBinding] = []
        self.constants: dict[str, Any] = {}
        self.errors: list[graphql.GraphQLError] = []
        """Of the root fields that this kind of viewer may not read."""
        self.schema = graphql_schema(schema)
        self.types: Mapping[str, Any] = self.schema.type_map
        self._schema = schema
        self._operation = operation
        self._fragments = {name: FragmentDetails(definition) for name, definition in operation.fragments.items()}
        self.asking = viewer
        """Who asks now; others of the kind will ask for the same plan."""
        # The rules see a parameter in place of the viewer's id, so that the plan serves every viewer of the kind.
        parameter: Any = bindparam(VIEWER, type_=Uuid(), required=False)
        self.viewer = viewer and Viewer(id=parameter, is_superuser=viewer.is_superuser)
        self._field = field
        self.cost = 0
        self._limit = limit
        self._depth = 0
        self._names = 0

    def row(
        self, type_: graphql.GraphQLOutputType, details: list[FieldDetails] | None, columns: Row, scope: Scope
    ) -> list[Part]:
        """Return the parts of an object made of the columns of a row."""
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise Declined("too deep")
        parts = self.object(type_, details, partial(self._field, self, columns, scope))
        self._depth -= 1
        return parts

    def object(self, type_: graphql.GraphQLOutputType, details: list[FieldDetails] | None, field: Field) -> list[Part]:
        """Return the parts of an object whose fields `field` makes."""
        parent = object_type(type_)

        def parts(selected: list[FieldDetails]) -> list[Part]:
            _refuse_directives(selected)
            name = selected[0].node.name.value
            return [Json(f'"{parent.name}"')] if name == "__typename" else field(parent, name, selected)

        return json_object((key, parts(selected)) for key, selected in self.selected(parent, details).items())

    def selected(self, type_: graphql.GraphQLObjectType, details: list[FieldDetails] | None) -> Selection:
        """Return what is selected of the object that a field returns; without one, what the operation selects."""
        shared = (self.schema, self._fragments, self._operation.variables)
        definition = self._operation.definition
        if details is None:
            selection = collect_fields(*shared, type_, definition).grouped_field_set
        else:
            selection = collect_subfields(*shared, definition, type_, details).grouped_field_set
        self.spend(len(selection))
        return selection

    def refused(self, asked: Asked, refusal: RequestError) -> list[Part]:
        """Return the parts of a root field that is null with this error."""
        nodes = [detail.node for detail in asked.details]
        key = (nodes[0].alias or nodes[0].name).value
        located = graphql.GraphQLError(str(refusal), nodes, path=[key], original_error=refusal)
        located.extensions = refusal.extensions
        self.errors.append(located)
        return [Json("null")]

    def spend(self, cost: int) -> None:
        """Count what compiling costs; Declined if it costs too much."""
        self.cost += cost
        if self.cost > self._limit:
            raise Declined("it selects too much")

    def gather(self, inner: Scope, scope: Scope) -> None:
        """Read the texts of a scope in another, as the columns of a subquery."""
        assert inner.source is not None
        self.spend(_COST_OF_SOURCE)
        scope.join(select(*inner.texts).select_from(inner.source).lateral(inner.name))

    def name(self, prefix: str) -> str:
        """Return a name that nothing else in the statement has."""
        self._names += 1
        return f"{prefix}{self._names}"

    def source(self, prefix: str) -> str:
        """Return the name of another SELECT in the statement."""
        self.spend(_COST_OF_SOURCE)
        return self.name(prefix)

    def bind(self, asked: Asked, read: Read, *, always: bool = False) -> dict[str, Any]:
        """Bind the arguments of a field, whose shape and values `read` returns: anew for each request if they use
        variables. Return the arguments; Refused if they are invalid, so that the resolver path says why."""
        arguments = argument_reader(asked, self._schema)
        bound = binder(arguments, read)
        shape, values = bound(self._operation.variables, self.asking)
        if always or asked.uses_variables:
            self.bindings.append(ArgumentBinding(shape, bound))
        else:
            self.constants.update(values)
        return arguments(self._operation.variables)


def object_type(type_: graphql.GraphQLOutputType) -> graphql.GraphQLObjectType:
    """Return the object type that a field returns one or many of; Declined if it may return several types."""
    named = graphql.get_named_type(type_)
    if not isinstance(named, graphql.GraphQLObjectType):
        raise Declined(f"{named} has no one shape")
    return named


def _refuse_directives(details: list[FieldDetails]) -> None:
    for detail in details:
        directives = {directive.name.value for directive in detail.node.directives or ()}
        if detail.defer_usage is not None or directives - _UNDERSTOOD_DIRECTIVES:
            raise Declined("a directive")
