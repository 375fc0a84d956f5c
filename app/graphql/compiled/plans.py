"""A plan: one statement that answers an operation, for every viewer of a kind and all variables of a shape."""

from collections.abc import Callable, Container, Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from graphql.execution.values import VariableValues

from app.graphql.operations.cache import Cache
from app.process.garbage import collected_afterwards
from app.security.viewer import Viewer

VIEWER = "viewer_id"
"""The parameter that is the viewer's id."""

PAYLOAD_KEYS = "payload_keys"
"""The parameter that is the key of the object that a mutation returns, or the array of keys of a list of objects."""

_MAX_LIST = 100  # items of a list in the variables, whose shapes are part of a plan's key
_DECLINED = "declined"  # marks the key of what was, for page sizes of any number
_WEIGHT_OF_PLAN, _CHARACTERS_OF_WEIGHT = 500, 10  # a plan has 75 objects, as 35 tokens of a document; text has none
_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Declined(Exception):
    """Something that the compiled path does not understand, or must not answer."""


class Uncompiled(Exception):
    """There is no plan yet."""


class Refused(Declined):
    """Arguments whose values are refused; other values of the same shape may be understood."""


Bind = Callable[[VariableValues, Viewer | None], tuple[Any, Mapping[str, Any]]]
"""Returns the shape and the values of the arguments of one request."""


@dataclass(frozen=True)
class ArgumentBinding:
    """A field whose arguments are bound anew for each request; `read` returns their shape and their values."""

    shape: Any
    read: Bind


@dataclass(frozen=True)
class Plan:
    """A statement, and where its parameters come from."""

    sql: str
    names: Sequence[str]
    constants: Mapping[str, Any]
    bindings: Sequence[ArgumentBinding]
    errors: Sequence[Mapping[str, Any]] = ()
    """Of the root fields that the kind of viewer may not read, as the response has them."""
    data: bytes | None = None
    """The response, where it depends on no row: there is no statement then."""
    cost: int = 0
    """What compiling it has cost."""

    @property
    def weight(self) -> int:
        """The memory that it takes, in characters of a document."""
        return _WEIGHT_OF_PLAN + len(self.sql) // _CHARACTERS_OF_WEIGHT


@dataclass(frozen=True)
class NoPlan:
    """What was declined, and the arguments that had been read by then: for others there may be a plan."""

    reason: str
    bindings: Sequence[ArgumentBinding]
    cost: int = 0
    """What finding that out has cost."""
    weight = _WEIGHT_OF_PLAN


class Plans:
    """The plans of one selection, for each kind of viewer and each shape of the variables."""

    def __init__(
        self,
        selection: Hashable,
        kept: Cache[Hashable, Plan | NoPlan],
        compiled: Callable[[VariableValues, Viewer | None], Plan | NoPlan],
        used: Container[str] | None = None,
    ) -> None:
        """Take the key of the selection, where the plans of its operation are kept, what compiles it, and the variables
        that it uses where those are not all."""
        self._selection = selection
        self._kept = kept
        self._compiled = compiled
        self._used = used

    def plan(
        self,
        variables: VariableValues,
        viewer: Viewer | None,
        given: Mapping[str, Any] = _NOTHING,
        *,
        may_compile: bool = True,
    ) -> tuple[Plan, list[Any]]:
        """Return the plan for the kind of viewer and the shape of the variables, and its parameters; Declined where
        there is none, Uncompiled where it would have to be made first.

        That is nearly always the plan with this key. Where it reads arguments of another shape than those it was made
        for, an id of another type for one, what it reads is added to the key, and there is the plan for those."""
        used, values = self._used, variables.coerced
        shape = _shape(values if used is None else {name: values[name] for name in values if name in used})
        key: Any = (self._selection, None if viewer is None else viewer.is_superuser, shape)
        while True:
            plan = self._kept.find(key)
            if plan is None:
                plan = self._made(key, variables, viewer, may_compile=may_compile)
                self._kept.add(key, plan, plan.weight + _weight_of(key))
            bound: dict[str, Any] = {}
            for number, binding in enumerate(plan.bindings):
                shape, read = binding.read(variables, viewer)
                if shape != binding.shape:
                    key = (key, number, shape)
                    break
                bound.update(read)
            else:
                if isinstance(plan, NoPlan):
                    raise Declined(plan.reason)
                parameters = {**plan.constants, VIEWER: viewer.id if viewer else None, **bound, **given}
                return plan, [parameters[name] for name in plan.names]

    def _made(self, key: Any, variables: VariableValues, viewer: Viewer | None, *, may_compile: bool) -> Plan | NoPlan:
        """Compile the selection, unless it was declined for variables that differ in numbers alone."""
        numberless = (_DECLINED, _without_numbers(key))
        if (declined := self._kept.find(numberless)) is not None:
            return declined
        if not may_compile:
            raise Uncompiled
        with collected_afterwards():
            plan = self._compiled(variables, viewer)
        if isinstance(plan, NoPlan):
            self._kept.add(numberless, NoPlan(plan.reason, ()), plan.weight + _weight_of(numberless))
        return plan


def _weight_of(key: Any) -> int:
    """Return the weight of a key: the shape of a list of objects has several tuples for each."""
    return 2 + sum(map(_weight_of, key)) if isinstance(key, tuple | frozenset) else 1


def _without_numbers(key: Any) -> Any:
    match key:
        case tuple():
            return tuple(map(_without_numbers, key))
        case int() if type(key) is int:
            return int
    return key


def _shape(value: Any) -> Any:
    """Return what of the variables may change a statement: which there are, and what is no mere value.

    Whole numbers are the sizes of pages, which the statement contains; a list of texts is a value, whatever its length.
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
