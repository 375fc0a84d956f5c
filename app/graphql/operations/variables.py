"""Coerces variables as graphql-core does, by functions that are made once for each type: in a fifth of the time, which
was a tenth of that of reading an order. Whatever isn't plainly right is left to graphql-core."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from graphql import (
    GraphQLBoolean,
    GraphQLError,
    GraphQLID,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLInt,
    GraphQLLeafType,
    GraphQLList,
    GraphQLNamedType,
    GraphQLNonNull,
    GraphQLSchema,
    GraphQLString,
    OperationDefinitionNode,
    Undefined,
    VariableDefinitionNode,
    get_named_type,
    is_required_input_field,
)
from graphql.execution.get_variable_signature import GraphQLVariableSignature, get_variable_signature
from graphql.execution.values import VariableValues, VariableValueSource, get_variable_values
from graphql.utilities.coerce_input_value import coerce_default_value

Coerce = Callable[[Any], Any]
"""Returns the coerced value; Unsure where it may be invalid."""
_UNSURE: Any = object()
"""The default of what must be given, or has a default that isn't plain."""
_PLAIN: Mapping[Any, type] = {GraphQLString: str, GraphQLID: str, GraphQLBoolean: bool}
"""The scalars that take values of a type as they are."""
_MOST_ITEMS = 5_000  # the longest list that any input takes has 1,000
_INTEGERS = range(-(2**31), 2**31)
_coercers: dict[tuple[GraphQLNamedType, str], Coerce] = {}


class Unsure(Exception):
    """A value may be invalid, or needs more than is done here."""


class Variable(NamedTuple):
    """A variable of an operation."""

    signature: GraphQLVariableSignature
    coerce: Coerce
    default: Any
    """Undefined if there is none."""


class Variables:
    """The variables of an operation."""

    def __init__(
        self, schema: GraphQLSchema, operation: OperationDefinitionNode, *, most_errors: int, hide_suggestions: bool
    ) -> None:
        self._schema = schema
        self._nodes = operation.variable_definitions or ()
        self._reporting = partial(
            get_variable_values, schema, self._nodes, max_errors=most_errors, hide_suggestions=hide_suggestions
        )
        self._variables: list[Variable] | None = None

    def coerced(self, given: Mapping[str, Any]) -> VariableValues | list[GraphQLError]:
        """Return the values that a client gave, as graphql-core would, or else what is wrong with them."""
        if _has_many_items(given):
            message = f"Lists in the variables may have at most {_MOST_ITEMS:,} items together."
            return [GraphQLError(message, extensions={"code": "BAD_USER_INPUT"})]
        if self._variables is None:
            self._variables = [_variable(self._schema, node) for node in self._nodes]
        try:
            return _coerced(self._variables, given)
        except Unsure:
            return self._reporting(dict(given))


def _has_many_items(given: Mapping[str, Any]) -> bool:
    """Return whether lists have more items than any input may have, each of which takes time to coerce."""
    items, within = 0, list(given.values())
    while within:
        value = within.pop()
        if type(value) is list:
            items += len(value)
            if items > _MOST_ITEMS:
                return True
            within += value
        elif type(value) is dict:
            within += value.values()
    return False


def _coerced(variables: list[Variable], given: Mapping[str, Any]) -> VariableValues:
    sources, values = {}, {}
    for signature, coerce, default in variables:
        name = signature.name
        value = given.get(name, Undefined)
        sources[name] = VariableValueSource(signature, value)
        value = default if value is Undefined else coerce(value)
        if value is _UNSURE:
            raise Unsure
        if value is not Undefined:
            values[name] = value
    return VariableValues(sources, values)


def _variable(schema: GraphQLSchema, node: VariableDefinitionNode) -> Variable:
    signature = get_variable_signature(schema, node)
    assert not isinstance(signature, GraphQLError), "the document is valid"
    default = Undefined
    if node.default_value is not None:
        values = get_variable_values(schema, [node], {})
        default = values.coerced[signature.name] if isinstance(values, VariableValues) else _UNSURE
        if not isinstance(default, int | str | None):  # others may be mutable
            default = _UNSURE
    elif isinstance(signature.type, GraphQLNonNull):
        default = _UNSURE
    return Variable(signature, _coercer(signature.type), default)


def _coercer(type_: GraphQLInputType) -> Coerce:
    """Return what coerces values of a type. Documents make new objects of types that wrap others."""
    key = (get_named_type(type_), str(type_))
    if key not in _coercers:
        _coercers[key] = _made(type_)
    return _coercers[key]


def _made(type_: GraphQLInputType) -> Coerce:
    if isinstance(type_, GraphQLNonNull):
        return partial(_required, _coercer(type_.of_type))
    if isinstance(type_, GraphQLList):
        return partial(_list, _coercer(type_.of_type))
    if isinstance(type_, GraphQLInputObjectType):
        return _Object(type_)
    if type_ is GraphQLInt:
        return _integer
    plain = _PLAIN.get(type_)
    return partial(_leaf, type_) if plain is None else partial(_plain, type_, plain)


def _required(coerce: Coerce, value: Any) -> Any:
    if value is None:
        raise Unsure
    return coerce(value)


def _list(coerce: Coerce, value: Any) -> Any:
    if value is None:
        return None
    if type(value) is not list:
        raise Unsure
    return [coerce(item) for item in value]


class _Object:
    """Coerces values of an input type."""

    def __init__(self, type_: GraphQLInputObjectType) -> None:
        self._type = type_
        self._fields: list[tuple[str, str, Coerce, Any]] = []
        """The name of each field, in the schema and in Python, what coerces it, and its default."""

    def __call__(self, value: Any) -> Any:
        if value is None:
            return None
        if type(value) is not dict or self._type.is_one_of:
            raise Unsure
        coerced, given = {}, 0
        for name, python_name, coerce, default in self._fields or self._read():
            if name in value:
                coerced[python_name] = coerce(value[name])
                given += 1
            elif default is _UNSURE:
                raise Unsure
            elif default is not Undefined:
                coerced[python_name] = default
        if given != len(value):
            raise Unsure
        return self._type.out_type(coerced)

    def _read(self) -> list[tuple[str, str, Coerce, Any]]:
        """Read the fields, when a value is first given: their types may lead back to this one."""
        self._fields = [
            (name, field.out_name or name, _coercer(field.type), _default(field))
            for name, field in self._type.fields.items()
        ]
        return self._fields


def _default(field: GraphQLInputField) -> Any:
    return _UNSURE if is_required_input_field(field) else coerce_default_value(field)


def _integer(value: Any) -> Any:
    return value if type(value) is int and value in _INTEGERS else _leaf(GraphQLInt, value)


def _plain(type_: GraphQLLeafType, plain: type, value: Any) -> Any:
    return value if type(value) is plain else _leaf(type_, value)


def _leaf(type_: GraphQLLeafType, value: Any) -> Any:
    if value is None:
        return None
    try:
        return type_.coerce_input_value(value)
    except Exception:
        raise Unsure from None
