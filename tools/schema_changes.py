"""Compares two schemas, and checks that the changelog documents what affects clients."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from enum import Enum
from typing import Any, NamedTuple

from graphql import (
    BreakingChangeType,
    DangerousChangeType,
    GraphQLInputObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    OperationType,
    SafeChangeType,
    SchemaChange,
    find_schema_changes,
    is_required_argument,
    resolve_schema_coordinate,
)
from graphql.error import GraphQLError

DEPRECATION = re.compile(
    r"(?:Use .+ instead|Nothing replaces it)\. Since (\d+\.\d+\.\d+); goes after (?P<day>\d{4}-\d\d-\d\d)\."
)
DEPRECATION_FORM = "Use `…` instead. Since 1.2.0; goes after 2027-06-30."

_COORDINATE = re.compile(r"@?\b[_A-Za-z]\w*(?:\.\w+)?(?:\(\w+:\))?")
_REMOVALS = (
    BreakingChangeType.FIELD_REMOVED,
    BreakingChangeType.ARG_REMOVED,
    BreakingChangeType.VALUE_REMOVED_FROM_ENUM,
)
# Clients may keep omitting these.
_HARMLESS = (DangerousChangeType.OPTIONAL_ARG_ADDED, DangerousChangeType.OPTIONAL_INPUT_FIELD_ADDED)
# Omitting these now means something else.
_NEW_DEFAULTS = (SafeChangeType.ARG_DEFAULT_VALUE_ADDED, SafeChangeType.INPUT_FIELD_DEFAULT_VALUE_ADDED)
_OTHER_DEFAULTS = (DangerousChangeType.ARG_DEFAULT_VALUE_CHANGE, DangerousChangeType.INPUT_FIELD_DEFAULT_VALUE_CHANGE)
# Comments and code blocks, which don't document anything.
_NOT_READ = re.compile(r"<!--.*?(?:-->|\Z)|^ *(```+|~~~+).*?(?:^ *\1|\Z)", re.MULTILINE | re.DOTALL)
_MEMBERS = {
    BreakingChangeType.TYPE_REMOVED_FROM_UNION: r"(?P<member>\w+) was removed from union type (?P<type>\w+)",
    DangerousChangeType.TYPE_ADDED_TO_UNION: r"(?P<member>\w+) was added to union type (?P<type>\w+)",
    BreakingChangeType.IMPLEMENTED_INTERFACE_REMOVED: r"(?P<type>\w+) no longer implements interface (?P<member>\w+)",
    DangerousChangeType.IMPLEMENTED_INTERFACE_ADDED: r"(?P<member>\w+) added to .+ implemented by (?P<type>\w+)",
}


class Effect(Enum):
    """The effect of a change on existing clients. The value is its heading in the changelog."""

    BREAKING = "Breaking"
    """Valid operations become invalid."""
    CHECK = "Check"
    """Operations stay valid, but may return something new: another type, value or default."""
    NONE = "Added"
    """None, until clients use it."""


class Change(NamedTuple):
    """A difference between two schemas."""

    effect: Effect
    coordinate: str
    """`Order.items(first:)`, or for a union's member and a type's interface, `PlaceOrderResult.Order`."""
    description: str
    is_removal: bool = False
    """Whether it requires an earlier deprecation."""


def changes(old: GraphQLSchema, new: GraphQLSchema) -> list[Change]:
    """Return all changes except those of descriptions, breaking ones first."""
    found = [
        _classified(change, _coordinate(change, old, new), new)
        for change in find_schema_changes(old, new)
        if change.type is not SafeChangeType.DESCRIPTION_CHANGED
    ]
    found += [*_changed_meanings(old, new), *_changed_deprecations(old, new)]
    return sorted(found, key=lambda change: ([*Effect].index(change.effect), change.coordinate))


def objections(
    found: Sequence[Change], documented: Mapping[str, set[str]], old: GraphQLSchema, today: date
) -> Iterator[str]:
    """Yield the reasons against a release. `documented` has the coordinates below each heading of the changelog."""
    deprecations = dict(_deprecations(old))
    for change in found:
        heading = change.effect.value
        if change.effect is not Effect.NONE and change.coordinate not in documented.get(heading, ()):
            yield (
                f"{change.description} CHANGELOG.md must say what clients should do, in an item under `### {heading}` "
                f"that begins with `{change.coordinate}`."
            )
        if change.is_removal:
            promised = _day(deprecations.get(change.coordinate))
            if promised is None:
                yield f"{change.description} The last release did not deprecate it."
            elif today <= promised:
                yield f"{change.description} The last release promised it until {promised}."


def short_notices(old: GraphQLSchema, new: GraphQLSchema, today: date) -> Iterator[str]:
    """Yield new deprecations that leave clients no time, or less than was promised before."""
    before = dict(_deprecations(old))
    for coordinate, reason in _deprecations(new):
        day = _day(reason)
        if day is None or reason == before.get(coordinate):
            continue
        promised = _day(before.get(coordinate))
        if promised is not None and day < promised:
            yield f"{coordinate} goes after {day}, but the last release promised it until {promised}."
        elif day <= today:
            yield f"{coordinate} goes after {day}, which leaves clients no time."


def malformed_deprecations(schema: GraphQLSchema) -> Iterator[str]:
    """Yield deprecations that don't name the replacement, the version, or the day of removal."""
    for coordinate, reason in _deprecations(schema):
        if reason is not None and _day(reason) is None:
            yield f"{coordinate} is deprecated with {reason!r}; the form is {DEPRECATION_FORM!r}."


def documented_in(section: str) -> dict[str, set[str]]:
    """Return the coordinates that items of a changelog section begin with, by heading."""
    documented: dict[str, set[str]] = {}
    for part in re.split(r"^### ", _NOT_READ.sub("", section), flags=re.MULTILINE)[1:]:
        heading, _, items = part.partition("\n")
        documented.setdefault(heading.strip(), set()).update(re.findall(r"^- `([^`]+)`:? +\w", items, re.MULTILINE))
    return documented


def _classified(change: SchemaChange, coordinate: str, new: GraphQLSchema) -> Change:
    is_harmless = isinstance(change.type, SafeChangeType) or change.type in _HARMLESS
    effect = Effect.NONE if is_harmless and change.type not in _NEW_DEFAULTS else Effect.CHECK
    if isinstance(change.type, BreakingChangeType) or _requires_value(change, coordinate, new):
        effect = Effect.BREAKING
    return Change(effect, coordinate, change.description, change.type in _REMOVALS)


def _requires_value(change: SchemaChange, coordinate: str, new: GraphQLSchema) -> bool:
    """Return whether an argument or an input field, whose default has changed, no longer has one but needs it."""
    if change.type not in _OTHER_DEFAULTS:
        return False
    element: Any = resolve_schema_coordinate(new, coordinate)
    *_, definition, _kind = element
    return is_required_argument(definition)


def _coordinate(change: SchemaChange, *schemas: GraphQLSchema) -> str:
    """Return the coordinate of a change, which graphql-core mentions only in its description."""
    if change.type in _MEMBERS and (found := re.match(_MEMBERS[change.type], change.description)):
        return f"{found['type']}.{found['member']}"
    # A name of two parts is certainly a coordinate; others may be ordinary words.
    names: list[str] = sorted(_COORDINATE.findall(change.description), key=lambda name: "." not in name)
    return next(name for name in names if any(_is_in(schema, name) for schema in schemas))


def _is_in(schema: GraphQLSchema, coordinate: str) -> bool:
    try:
        return resolve_schema_coordinate(schema, coordinate) is not None
    except (GraphQLError, ValueError):
        return False


def _changed_meanings(old: GraphQLSchema, new: GraphQLSchema) -> Iterator[Change]:
    """Yield what graphql-core doesn't compare: root types, the specifications of scalars, and `@oneOf` of inputs."""
    for operation in OperationType:
        root = old.get_root_type(operation)
        if root is not None and new.get_root_type(operation) != new.type_map.get(root.name, root):
            yield Change(Effect.BREAKING, root.name, f"{root.name} is no longer the {operation.value} type.")
    for name, before in old.type_map.items():
        after = new.type_map.get(name)
        if isinstance(before, GraphQLScalarType) and isinstance(after, GraphQLScalarType):
            if before.specified_by_url != after.specified_by_url:
                yield Change(Effect.CHECK, name, f"{name} now follows {after.specified_by_url}.")
        elif isinstance(before, GraphQLInputObjectType) and isinstance(after, GraphQLInputObjectType):
            if after.is_one_of and not before.is_one_of:
                yield Change(Effect.BREAKING, name, f"{name} now takes exactly one field.")
            elif before.is_one_of and not after.is_one_of:
                yield Change(Effect.NONE, name, f"{name} now takes any of its fields.")


def _changed_deprecations(old: GraphQLSchema, new: GraphQLSchema) -> Iterator[Change]:
    before = dict(_deprecations(old))
    for coordinate, reason in _deprecations(new):
        if reason and reason != before.get(coordinate):
            yield Change(Effect.NONE, coordinate, f"{coordinate} is deprecated: {reason}")
        elif not reason and before.get(coordinate):
            yield Change(Effect.NONE, coordinate, f"{coordinate} is no longer deprecated.")


def _deprecations(schema: GraphQLSchema) -> Iterator[tuple[str, str | None]]:
    """Yield the coordinate of everything that can be deprecated, and the reason if it is."""
    for name, type_ in schema.type_map.items():
        if name.startswith("__"):
            continue
        children: Mapping[str, Any] = getattr(type_, "fields", getattr(type_, "values", {}))
        for child, definition in children.items():
            yield f"{name}.{child}", definition.deprecation_reason
            for argument, given in getattr(definition, "args", {}).items():
                yield f"{name}.{child}({argument}:)", given.deprecation_reason


def _day(reason: str | None) -> date | None:
    """Return the day after which it is removed, if the reason has the right form."""
    form = DEPRECATION.fullmatch(reason or "")
    try:
        return date.fromisoformat(form["day"]) if form else None
    except ValueError:
        return None
