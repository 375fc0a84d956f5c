"""The arguments of a field as parameters: their values are bound, what else they are shapes the statement."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

import graphql
from graphql.execution.collect_fields import FieldDetails
from graphql.execution.values import VariableValues, get_argument_values
from sqlalchemy import BindParameter, DateTime, Numeric, Text, Uuid, bindparam
from strawberry.types.arguments import convert_arguments
from strawberry.types.field import StrawberryField

from app.db.pagination import Ordering, PageRequest, Position
from app.errors import RequestError
from app.graphql.compiled.plans import Refused
from app.inputs import Input

_TYPES: dict[type, Any] = {str: Text(), UUID: Uuid(), Decimal: Numeric(), datetime: DateTime(timezone=True)}

Selection = Mapping[str, list[FieldDetails]]
"""The fields selected of an object, by the keys of the response; those of one key are merged."""


class Asked(NamedTuple):
    """A field as it is asked for: what was said of it, what the schema made of that, and where it is selected."""

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


def understood(function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """Call what checks arguments; what it refuses is declined, so that the resolver path tells why."""
    try:
        return function(*arguments, **named)
    except (RequestError, graphql.GraphQLError) as refusal:
        raise Refused("refused arguments") from refusal


class Arguments:
    """The arguments of a field, read anew for each request."""

    def __init__(self, asked: Asked, schema: Any) -> None:
        self._field = asked.field
        self._node = asked.details[0].node
        self._definitions = asked.definition.arguments
        self._registry = schema.schema_converter.scalar_registry
        self._config = schema.config
        self._plain = self._plain_variables()

    def read(self, variables: VariableValues) -> dict[str, Any]:
        """Return the arguments as the field's resolver gets them; Refused where they are no good."""
        if self._plain is not None:
            values = {name: variables.coerced.get(variable) for name, variable in self._plain}
            if None not in values.values():
                return values
        given = understood(get_argument_values, self._field, self._node, variables)
        return convert_arguments(given, self._definitions, self._registry, self._config)

    def _plain_variables(self) -> Sequence[tuple[str, str]] | None:
        """Return the variables that the arguments are, if they are texts and nothing else, which need no conversion:
        so an object is looked up by its id in 3 µs less."""
        names = {self._config.name_converter.get_graphql_name(each): each.python_name for each in self._definitions}
        plain = []
        for name, argument in self._field.args.items():
            value = next((node.value for node in self._node.arguments or () if node.name.value == name), None)
            type_ = graphql.get_nullable_type(argument.type)
            if not isinstance(value, graphql.VariableNode) or type_ not in (graphql.GraphQLID, graphql.GraphQLString):
                return None
            plain.append((names[name], value.name.value))
        return plain


def shape_of(filter: Input, request: PageRequest) -> Any:
    """Return what of the arguments changes the statement: which there are, and what is not bound."""
    shape = tuple(type(value) if type(value) in _TYPES else value for _, value in _values_in(filter))
    return shape, request.ordering, request.limit, request.backward, request.after is None, request.before is None


def values_of(prefix: str, filter: Input, request: PageRequest) -> Mapping[str, Any]:
    """Return the values that are bound, by the names of their parameters."""
    values = {f"{prefix}_{name}": value for name, value in _values_in(filter)}
    for name, position in (("after", request.after), ("before", request.before)):
        if position is not None:
            values[f"{prefix}_{name}_value"], values[f"{prefix}_{name}_key"] = position
    return values


def _values_in(filter: Input, within: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each value of a filter, and of the inputs within it, by its name."""
    for name, value in filter:
        if isinstance(value, Input):
            yield from _values_in(value, f"{within}{name}_")
        else:
            yield f"{within}{name}", value


def bound_filter(prefix: str, filter: Input) -> Any:
    """Return the filter with a parameter in the place of every value that is bound."""
    bound: dict[str, Any] = {}
    for name, value in filter:
        if isinstance(value, Input):
            bound[name] = bound_filter(f"{prefix}_{name}", value)
        elif type(value) in _TYPES:
            bound[name] = bindparam(f"{prefix}_{name}", type_=_TYPES[type(value)], required=False)
    return filter.model_copy(update=bound)


def bound_request(prefix: str, ordering: Ordering, request: PageRequest) -> PageRequest:
    """Return the page with parameters in the place of its two places."""

    def parameter(name: str, type_: Any) -> BindParameter[Any]:
        return bindparam(f"{prefix}_{name}", type_=type_, required=False)

    def place(name: str) -> Position:
        key: Any = parameter(f"{name}_key", Uuid())
        return Position(parameter(f"{name}_value", ordering.column.type), key)

    return PageRequest(
        ordering=ordering,
        limit=request.limit,
        backward=request.backward,
        after=None if request.after is None else place("after"),
        before=None if request.before is None else place("before"),
    )
