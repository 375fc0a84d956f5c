"""A plan: one statement that answers an operation, for every viewer of a kind and all variables of a shape."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphql import GraphQLObjectType, GraphQLOutputType, get_named_type
from graphql.execution.values import VariableValues

from app.graphql.compiled.text import Template
from app.security.viewer import Viewer

VIEWER = "viewer_id"
"""The parameter that is the viewer's id."""


class Declined(Exception):
    """Something that the compiled lane does not understand, or must not answer."""


class Refused(Declined):
    """Arguments whose values are refused; other values of the same shape may be understood."""


@dataclass(frozen=True)
class Site:
    """A field whose arguments are bound anew for each request; `read` returns their shape and their values."""

    shape: Any
    read: Callable[[VariableValues, Viewer | None], tuple[Any, Mapping[str, Any]]]


class OtherShape(Exception):
    """Arguments of another shape than those that a plan was made for; `found` tells which, and where."""

    def __init__(self, *found: Any) -> None:
        super().__init__(*found)
        self.found = found


@dataclass(frozen=True)
class Plan:
    """A statement, where its parameters come from, and what makes the response out of its row."""

    sql: str
    names: Sequence[str]
    constants: Mapping[str, Any]
    sites: Sequence[Site]
    levels: Sequence[str]
    template: Template

    def parameters(self, variables: VariableValues, viewer: Viewer | None) -> list[Any]:
        """Return the statement's parameters; OtherShape where it is not made for these arguments."""
        values = {**self.constants, VIEWER: viewer.id if viewer else None, **_bound(self.sites, variables, viewer)}
        return [values[name] for name in self.names]


@dataclass(frozen=True)
class NoPlan:
    """What was declined, and the arguments that had been read by then: for others there may be a plan."""

    sites: Sequence[Site]

    def parameters(self, variables: VariableValues, viewer: Viewer | None) -> list[Any]:
        """Raise Declined; OtherShape where it is not known of these arguments."""
        _bound(self.sites, variables, viewer)
        raise Declined("as before")


def _bound(sites: Sequence[Site], variables: VariableValues, viewer: Viewer | None) -> Mapping[str, Any]:
    """Return the values that the sites bind; OtherShape at the first whose arguments have another shape."""
    values: dict[str, Any] = {}
    for number, site in enumerate(sites):
        shape, bound = site.read(variables, viewer)
        if shape != site.shape:
            raise OtherShape(number, shape)
        values.update(bound)
    return values


def object_type(type_: GraphQLOutputType) -> GraphQLObjectType:
    """Return the object type that a field returns one or many of; Declined where it may return several types."""
    named = get_named_type(type_)
    if not isinstance(named, GraphQLObjectType):
        raise Declined(f"{named} has no one shape")
    return named
