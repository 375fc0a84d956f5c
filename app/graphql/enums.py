"""Enums of the model as GraphQL shows them, with a description for each value."""

from enum import Enum
from typing import Any, cast

import strawberry
from strawberry.types.enum import StrawberryEnumDefinition

from app.db.models import OrderStatus

__all__ = ["Direction", "OrderStatus", "describe_enum"]


def describe_enum(enum: type[Enum], description: str, **values: str) -> None:
    """Make an enum part of the schema, with a description of itself and of each value."""
    definition = cast(
        StrawberryEnumDefinition,
        cast(Any, strawberry.enum(enum, description=description)).__strawberry_definition__,
    )
    for value in definition.values:
        value.description = values.pop(value.name)
    if values:
        raise ValueError(f"{enum.__name__} has no value {', '.join(values)}")


class Direction(Enum):
    """Which end of an order comes first."""

    ASC = "ASC"
    DESC = "DESC"


describe_enum(
    Direction,
    "Which end of an order comes first.",
    ASC="The smallest, the earliest, or A first.",
    DESC="The largest, the latest, or Z first.",
)
describe_enum(
    OrderStatus,
    "The steps of an order's life.",
    PLACED="Ordered; nothing has been fulfilled yet, so it can still be cancelled.",
    PARTIALLY_FULFILLED="Some of its items have been fulfilled.",
    FULFILLED="All of its items have been fulfilled.",
    CANCELLED="Cancelled before anything was fulfilled; its stock was given back.",
)
