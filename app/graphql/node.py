"""The types whose objects show a row: Relay's Node, which clients can fetch again by their global id, and what
mutations and subscriptions return of a node."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import strawberry
from sqlalchemy import Select

from app.db.models import Base
from app.global_ids import global_id
from app.security.viewer import Viewer

T = TypeVar("T")
ByKey = Callable[[Viewer | None], Select[Any]]
"""Returns the statement for the rows with `:keys` that a viewer may look up."""


@strawberry.type
class OfRow:
    row: strawberry.Private[Any]
    """The row, or entity, that the object shows."""


@strawberry.interface(description="An object with a global ID. Fetch it again with `node`.")
class Node(OfRow):
    @strawberry.field(description="Global ID, unique across all types.")
    def id(self) -> strawberry.ID:
        return strawberry.ID(global_id(type(self).__name__, self.row.id))


@dataclass(frozen=True)
class NodeType:
    """A type of nodes: which model's rows it shows, and how viewers look them up."""

    type_: type[Node]
    model: type[Base]
    by_key: ByKey


_BY_MODEL: dict[type[Base], NodeType] = {}
_BY_NAME: dict[str, NodeType] = {}
_SHOWN_BY: dict[str, type[Base]] = {}


def node(model: type[Base], by_key: ByKey, description: str) -> Callable[[type[T]], type[T]]:
    """Make a type of nodes: it shows rows of this model, which viewers look up by this statement."""

    def decorate(cls: type[T]) -> type[T]:
        made: Any = strawberry.type(cls, description=description)
        _BY_MODEL[model] = _BY_NAME[cls.__name__] = NodeType(made, model, by_key)
        _SHOWN_BY[cls.__name__] = model
        return cls

    return decorate


def shows(model: type[Base], description: str) -> Callable[[type[T]], type[T]]:
    """Make a type that shows a row of this model without being it: the success of a mutation, or an event."""

    def decorate(cls: type[T]) -> type[T]:
        made: Any = strawberry.type(cls, description=description)
        _SHOWN_BY[cls.__name__] = model
        assert issubclass(made, OfRow), "it has a row"
        return cls

    return decorate


def node_named(name: str) -> NodeType:
    """Return the type of nodes with this name; KeyError where there is none."""
    return _BY_NAME[name]


def is_node(name: str) -> bool:
    """Return whether there is a type of nodes with this name."""
    return name in _BY_NAME


def type_shown_by(name: str) -> NodeType | None:
    """Return the type of nodes whose row an object of the type with this name shows; None if it shows none."""
    model = _SHOWN_BY.get(name)
    return None if model is None else _BY_MODEL[model]


def shown(model: type[Base], row: Any) -> Any:
    """Return the node that shows a row of a model."""
    return _BY_MODEL[model].type_(row=row)
