"""What is selected of many objects of one type, column by column: all their names, then all their prices.

A column is read and shown by calls that run in C; object by object each value would take three calls of Python's."""

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any

from graphql import GraphQLID, GraphQLLeafType, GraphQLString, Undefined

Column = Callable[[Sequence[Any]], Sequence[Any]]
"""Returns what a field shows of each object; any error means that graphql-core must look at them."""


def constant(value: Any) -> Column:
    """Return the column that has the same value everywhere."""
    return lambda objects: [value] * len(objects)


def attribute(name: str, shown: Column, *, is_nullable: bool) -> Column:
    """Return the column of an attribute; ValueError where it is null and must not be."""
    get = attrgetter(name)

    def column(objects: Sequence[Any]) -> Sequence[Any]:
        return over_present(shown, [get(each) for each in objects], is_nullable=is_nullable)

    return column


def over_present(shown: Column, values: Sequence[Any], *, is_nullable: bool) -> Sequence[Any]:
    """Return what is shown of the values, null where there is none; ValueError where one must be."""
    if None not in values:
        return shown(values)
    if not is_nullable:
        raise ValueError("null where there must be something")
    each = iter(shown([value for value in values if value is not None]))
    return [None if value is None else next(each) for value in values]


def leaf(type_: GraphQLLeafType) -> Column:
    """Return the column of values of a scalar or an enum; ValueError where one comes to nothing."""
    coerce = type_.coerce_output_value
    is_text = type_ in (GraphQLID, GraphQLString)

    def column(values: Sequence[Any]) -> Sequence[Any]:
        if is_text and {*map(type, values)} == {str}:
            return values
        results = [coerce(value) for value in values]
        if None in results or Undefined in results:
            raise ValueError("a value that comes to nothing")
        return results

    return column


def objects(columns: Mapping[str, Column]) -> Column:
    """Return the column of objects that have these columns."""

    def column(values: Sequence[Any]) -> Sequence[Any]:
        return assembled({key: shown(values) for key, shown in columns.items()}, len(values))

    return column


def assembled(columns: Mapping[str, Sequence[Any]], number: int) -> list[dict[str, Any]]:
    """Return so many objects, made of their columns in this order."""
    if not columns:
        return [{} for _ in range(number)]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
