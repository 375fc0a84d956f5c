"""Enums as GraphQL shows them, with a description for each value."""

from enum import Enum
from typing import Any, cast

import strawberry
from strawberry.types.enum import StrawberryEnumDefinition

from app.inputs import Direction


def describe_enum(enum: type[Enum], **values: str) -> None:
    """Make an enum part of the schema, described by its docstring, with a description for each value."""
    made: Any = strawberry.enum(enum, description=enum.__doc__)
    definition = cast(StrawberryEnumDefinition, made.__strawberry_definition__)
    for value in definition.values:
        value.description = values.pop(value.name)
    if values:
        raise ValueError(f"{enum.__name__} has no value {', '.join(values)}")


describe_enum(
    Direction, ASC="Ascending: smallest, earliest, or A first.", DESC="Descending: largest, latest, or Z first."
)
