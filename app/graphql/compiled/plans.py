"""A plan: one statement that answers an operation, for every viewer of a kind and all variables of a shape."""

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from graphql import GraphQLObjectType, GraphQLOutputType, get_named_type
from graphql.execution.values import VariableValues

from app.graphql.compiled.text import rendered
from app.graphql.operations.cache import Cache
from app.security.viewer import Viewer

VIEWER = "viewer_id"
"""The parameter that is the viewer's id."""

NODE_KEY = "node_key"
"""The parameter that is the key of the object which a mutation returns."""

NODE_KEYS = "node_keys"
"""The parameter that is the array of the keys of a list of objects which a mutation returns."""

_PLANS_KEPT = 20  # of one document: its variables can have many shapes
_MAX_LIST = 100  # items of a list in the variables, whose shapes are part of a plan's key


_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Declined(Exception):
    """Something that the compiled path does not understand, or must not answer."""


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
    """A statement, and where its parameters come from."""

    sql: str
    names: Sequence[str]
    constants: Mapping[str, Any]
    sites: Sequence[Site]

    @property
    def weight(self) -> int:
        """The characters of the statement."""
        return len(self.sql)

    def parameters(
        self, variables: VariableValues, viewer: Viewer | None, given: Mapping[str, Any] = _NOTHING
    ) -> list[Any]:
        """Return the statement's parameters; OtherShape where it is not made for these arguments."""
        bound = _bound(self.sites, variables, viewer)
        values = {**self.constants, VIEWER: viewer.id if viewer else None, **bound, **given}
        return [values[name] for name in self.names]

    def rendered(self, row: Sequence[str]) -> bytes:
        """Return the JSON that the row which the statement returns stands for."""
        return rendered(row[0])


@dataclass(frozen=True)
class NoPlan:
    """What was declined, and the arguments that had been read by then: for others there may be a plan."""

    reason: str
    sites: Sequence[Site]
    weight: int = 0

    def parameters(
        self, variables: VariableValues, viewer: Viewer | None, _: Mapping[str, Any] = _NOTHING
    ) -> list[Any]:
        """Raise Declined; OtherShape where it is not known of these arguments."""
        _bound(self.sites, variables, viewer)
        raise Declined(self.reason)


class Plans:
    """The plans of one selection, for each kind of viewer and each shape of the variables; as many as are kept."""

    def __init__(
        self, compiled: Callable[[VariableValues, Viewer | None], Plan | NoPlan], used: Container[str] | None = None
    ) -> None:
        """Take what compiles the selection, and the variables that it uses where those are not all."""
        self._compiled = compiled
        self._used = used
        self._plans: Cache[Any, Plan | NoPlan] = Cache(_PLANS_KEPT)

    def __iter__(self) -> Iterator[Plan | NoPlan]:
        return iter(self._plans)

    @property
    def weight(self) -> int:
        """The characters of all statements."""
        return self._plans.weight

    def find(
        self, variables: VariableValues, viewer: Viewer | None, given: Mapping[str, Any] = _NOTHING
    ) -> tuple[Plan, list[Any]]:
        """Return the plan for the kind of viewer and the shape of the variables, and its parameters; Declined where
        there is none.

        That is nearly always the plan with this key. Where it reads arguments of another shape than those it was made
        for, an id of another type for one, what it reads is added to the key, and there is the plan for those."""
        key: Any = (None if viewer is None else viewer.is_superuser, self._shape(variables.coerced))
        while True:
            plan = self._plans.get(key, lambda: self._compiled(variables, viewer))
            self._plans.weigh(key, plan.weight)
            try:
                parameters = plan.parameters(variables, viewer, given)
            except OtherShape as other:
                key = (key, other.found)
                continue
            assert isinstance(plan, Plan), "what is no plan has declined"
            return plan, parameters

    def _shape(self, variables: Mapping[str, Any]) -> Any:
        used = self._used
        return _shape(variables if used is None else {name: variables[name] for name in variables if name in used})


def _shape(value: Any) -> Any:
    """Return what of the variables may change a statement: which there are, and what is no mere value.

    Whole numbers are the sizes of pages, which stand in the statement; a list of texts is a value, whatever its length.
    What a field makes of its arguments is looked at again where they are bound."""
    match value:
        case dict():
            return tuple((name, _shape(item)) for name, item in value.items())
        case list() if len(value) > _MAX_LIST:
            raise Declined("a list in the variables is too long")
        case list() if all(type(item) is str for item in value):
            return frozenset(_shape(item) for item in value)
        case list():
            return tuple(_shape(item) for item in value)
        case str() if type(value) is str:
            return bool(value.strip())
        case Decimal() | datetime():
            return type(value)
        case _:
            return value


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
