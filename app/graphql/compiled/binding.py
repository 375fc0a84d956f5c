"""The arguments of a connection as parameters: their values are bound, what else they are shapes the statement."""

from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import BindParameter, DateTime, Numeric, Text, Uuid, bindparam

from app.pagination import Ordering, PageRequest, Position

_TYPES: dict[type, Any] = {str: Text(), UUID: Uuid(), Decimal: Numeric(), datetime: DateTime(timezone=True)}


def shape_of(criteria: Any, request: PageRequest) -> Any:
    """Return what of the arguments changes the statement: which there are, and what is not bound."""
    values = (getattr(criteria, field.name) for field in fields(criteria))
    of_criteria = tuple(type(value) if type(value) in _TYPES else value for value in values)
    return of_criteria, request.ordering, request.limit, request.backward, request.after is None, request.before is None


def values_of(prefix: str, criteria: Any, request: PageRequest) -> Mapping[str, Any]:
    """Return the values that are bound, by the names of their parameters."""
    values = {f"{prefix}_{field.name}": getattr(criteria, field.name) for field in fields(criteria)}
    for name, position in (("after", request.after), ("before", request.before)):
        if position is not None:
            values[f"{prefix}_{name}_value"], values[f"{prefix}_{name}_key"] = position
    return values


def bound_criteria(prefix: str, criteria: Any) -> Any:
    """Return the criteria with a parameter in the place of every value that is bound."""
    values = {field.name: getattr(criteria, field.name) for field in fields(criteria)}
    bound = {
        name: bindparam(f"{prefix}_{name}", type_=_TYPES[type(value)], required=False)
        for name, value in values.items()
        if type(value) in _TYPES
    }
    return replace(criteria, **bound)


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
