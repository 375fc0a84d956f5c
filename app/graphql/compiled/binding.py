"""The arguments of a field as parameters: their values are bound, what else they are shapes the statement."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

import graphql
from graphql.execution.collect_fields import FieldDetails
from graphql.execution.values import VariableValues, get_argument_values
from sqlalchemy import DateTime, Numeric, Text, Uuid, bindparam
from strawberry.types.arguments import convert_arguments
from strawberry.types.field import StrawberryField

from app.db.pagination import Ordering, PageRequest, Position
from app.errors import RequestError
from app.graphql.compiled.plans import Bind, Refused
from app.inputs import Input
from app.security.viewer import Viewer

_TYPES: dict[type, Any] = {str: Text(), UUID: Uuid(), Decimal: Numeric(), datetime: DateTime(timezone=True)}
_TEXTS = (graphql.GraphQLID, graphql.GraphQLString)

Read = Callable[[dict[str, Any], Viewer | None], tuple[Any, Mapping[str, Any]]]
"""Returns the shape of a field's arguments and the values to bind, by the names of their parameters."""


class Asked(NamedTuple):
    """A field as it is asked for: its definition, what the schema made of that, and where it is selected."""

    definition: StrawberryField
    field: graphql.GraphQLField
    details: list[FieldDetails]

    @property
    def type(self) -> graphql.GraphQLOutputType:
        """What the field returns."""
        return self.field.type

    @property
    def uses_variables(self) -> bool:
        """Whether its arguments may be others in the next request."""
        return any("$" in graphql.print_ast(argument) for argument in self.details[0].node.arguments or ())


def argument_reader(asked: Asked, schema: Any) -> Callable[[VariableValues], dict[str, Any]]:
    """Return what reads the arguments of a field as its resolver gets them."""
    field, node, definitions = asked.field, asked.details[0].node, asked.definition.arguments
    registry, config = schema.schema_converter.scalar_registry, schema.config
    plain = _plain_variables(asked, config)

    def read(variables: VariableValues) -> dict[str, Any]:
        if plain is not None:
            values = {name: variables.coerced.get(variable) for name, variable in plain.items()}
            if None not in values.values():
                return values
        return convert_arguments(get_argument_values(field, node, variables), definitions, registry, config)

    return read


def binder(arguments: Callable[[VariableValues], dict[str, Any]], read: Read) -> Bind:
    """Return what binds the arguments of a request; Refused if they are invalid: the resolver path then says why."""

    def bound(variables: VariableValues, viewer: Viewer | None) -> tuple[Any, Mapping[str, Any]]:
        try:
            return read(arguments(variables), viewer)
        except (RequestError, graphql.GraphQLError) as refusal:
            raise Refused(str(refusal)) from refusal

    return bound


def _plain_variables(asked: Asked, config: Any) -> Mapping[str, str] | None:
    """Return the variables that the arguments are, if they are texts and nothing else, which need no conversion: so an
    object is looked up by its id in 3 µs less."""
    given = {argument.name.value: argument.value for argument in asked.details[0].node.arguments or ()}
    plain = {}
    for definition in asked.definition.arguments:
        name = config.name_converter.get_graphql_name(definition)
        value = given.get(name)
        if value is None and not isinstance(asked.field.args[name].type, graphql.GraphQLNonNull):
            continue
        if not isinstance(value, graphql.VariableNode):
            return None
        if graphql.get_nullable_type(asked.field.args[name].type) not in _TEXTS:
            return None
        plain[definition.python_name] = value.name.value
    return plain


def shape_and_values(prefix: str, filter: Input, request: PageRequest) -> tuple[Any, Mapping[str, Any]]:
    """Return what of the arguments changes the statement, which is what is not bound, and the values that are bound by
    the names of their parameters."""
    values = {f"{prefix}_{name}": value for name, value in _values_in(filter)}
    shape = tuple(type(value) if type(value) in _TYPES else value for value in values.values())
    for name, position in (("after", request.after), ("before", request.before)):
        if position is not None:
            values[f"{prefix}_{name}_value"], values[f"{prefix}_{name}_key"] = position
    page = (request.ordering, request.limit, request.backward, request.after is None, request.before is None)
    return (shape, page), values


def _values_in(filter: Input, within: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each value of a filter, and of the inputs within it, by its name."""
    for name, value in filter:
        if isinstance(value, Input):
            yield from _values_in(value, f"{within}{name}_")
        else:
            yield f"{within}{name}", value


def bound_filter(prefix: str, filter: Input) -> Any:
    """Return the filter with a parameter in place of every value that is bound."""
    bound: dict[str, Any] = {}
    for name, value in filter:
        if isinstance(value, Input):
            bound[name] = bound_filter(f"{prefix}_{name}", value)
        elif type(value) in _TYPES:
            bound[name] = _parameter(f"{prefix}_{name}", _TYPES[type(value)])
    return filter.model_copy(update=bound)


def bound_request(prefix: str, ordering: Ordering, request: PageRequest) -> PageRequest:
    """Return the page in this order, with parameters in place of its two positions."""

    def bound(name: str, position: Position | None) -> Position | None:
        if position is None:
            return None
        value_type = ordering.column.type
        return Position(_parameter(f"{prefix}_{name}_value", value_type), _parameter(f"{prefix}_{name}_key", Uuid()))

    after, before = bound("after", request.after), bound("before", request.before)
    return replace(request, ordering=ordering, after=after, before=before)


def _parameter(name: str, type_: Any) -> Any:
    return bindparam(name, type_=type_, required=False)
