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
        """Return the statement's parameters; Declined where the arguments have another shape by now."""
        values = {**self.constants, VIEWER: viewer.id if viewer else None}
        for site in self.sites:
            shape, bound = site.read(variables, viewer)
            if shape != site.shape:
                raise Refused("arguments of another shape")
            values.update(bound)
        return [values[name] for name in self.names]


def object_type(type_: GraphQLOutputType) -> GraphQLObjectType:
    """Return the object type that a field returns one or many of; Declined where it may return several types."""
    named = get_named_type(type_)
    if not isinstance(named, GraphQLObjectType):
        raise Declined(f"{named} has no one shape")
    return named
