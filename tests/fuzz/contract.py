"""Calls of every field of the contract, with arguments that may be anything."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from contextlib import suppress
from random import Random
from typing import Any, NamedTuple

import orjson
from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNamedType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLUnionType,
    get_named_type,
    get_nullable_type,
    is_leaf_type,
)

from tests.fuzz.mutations import VALUES, mutated, weighted
from tests.graphql.compiled.operations import BAD_NUMBERS, NODES, SCHEMA, TEXTS, Samples
from tests.market import PASSWORD

_LONGEST_FIRST = sorted(NODES, key=len, reverse=True)  # a StoreOrder is neither a Store nor an Order
PARENTS = {"Store": 'store(id: "{}")', "User": 'user(id: "{}")'}
PLAUSIBLE: Mapping[str, Sequence[Any]] = {
    "email": ["new@example.com", "root@market.example", "NEW@EXAMPLE.COM", "ä@exämple.com", "a" * 300 + "@example.com"],
    "password": ["correct horse", "12345678", "short", "x" * 201, "x" * 5_000],
    "domain": ["new.example.com", "-.-", "exämple.com", "." * 300],
    "phone": ["+49 30 1234567", "()" * 50, "0" * 10_000],
    "country": ["DE", "de", "ẞẞ", "XX"],
    "currency": ["EUR", "eur", "EURO"],
    "quantity": [1, 2, 10_000, 10_001, 0, -1],
    "stock": [0, 5, 1_000_000_000, 2**31 - 1, -1, None],
    "delta": [1, -1, 0, 1_000_000_000, -1_000_000_001, 2**31 - 1],
    "expectedStock": [7, 0, None, -1, 2**31 - 1],
    "currentPassword": [PASSWORD, PASSWORD, "another", "", "a\0b", "x" * 5_000],
    "expectedVersion": [1, 2, 0, -(2**31), 2**31 - 1],
    "refreshToken": ["x" * 43, "", "é", "x" * 100_000],
    "first": [0, 1, 2, 100, 101, -1, 2**31],
    "last": [0, 1, 2, 100, 101, -1],
    "operation": TEXTS["operation"],
    "Int": [1, 0, -1, 2**31 - 1, 2**31, -(2**31) - 1, 2**53, 1.0, 1.5, True, "1"],
    "Boolean": [True, False, 1, "true"],
    "Decimal": [
        *TEXTS["Decimal"],
        "NaN",
        "-Infinity",
        "sNaN",
        "1e-400",
        "1_000",
        " 1 ",
        "٣",
        1.5,
        2**63,
        "9" * 5_000,
        -0.0,
    ],
    "DateTime": [
        *TEXTS["DateTime"],
        *("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "2026-W01-1T00Z"),
        *("2026-01-01", "2026-01-01T24:00:00Z", "2026-01-01T00:00:60Z", "2026-01-01T00:00:00+23:59:59.999999", "", 0),
        *("2026-02-30T00:00:00Z", "٢٠٢٦-01-01T00:00:00Z", "2026-01-01T00:00:00Z\0", "9" * 5_000),
    ],
    "String": [
        "A name",
        "",
        " ",
        "\0",
        "a\0b",
        "x" * 256,
        "x" * 100_000,
        "\x1b\x7f\u202e\ufeff😀",
        "'; --",
        '"\\%_{}$1:x',
        "%s",
    ],
}
CURSOR_VALUES = [
    *("9999-12-31T23:59:59.999999+00:00", "0001-01-01T00:00:00.000000+00:00", "0001-01-01T00:00:00+14:00"),
    *("9999-12-31T23:59:59-14:00", "2026-01-01", "2026-01-01T00:00:00", "infinity", "NaN", "sNaN", "1e400", "1E+2"),
    *(
        "99999999999.99",
        "9999999999.99",
        "0.001",
        "-0.00",
        "-1.00",
        "9" * 5_000,
        "2147483648",
        "-1",
        "٣",
        "a\0b",
        "",
        ":",
    ),
    *("x" * 10_000, "\ud7ff", "😀", "0.0", "1_0.00", " 1.00"),
]
KEYS = ["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff", "urn:uuid:", "{}", "x"]


def _is_json(text: str) -> bool:
    with suppress(orjson.JSONDecodeError):
        orjson.loads(text)
        return True
    return False


WELL_FORMED = [value for value in VALUES if _is_json(value)]


class Field(NamedTuple):
    """A field with arguments, and the type that has it."""

    parent: str
    name: str

    def __str__(self) -> str:
        return f"{self.parent}.{self.name}"

    @property
    def definition(self) -> GraphQLField:
        type_ = SCHEMA.type_map[self.parent]
        assert isinstance(type_, GraphQLObjectType)
        definition: GraphQLField = type_.fields[self.name]
        return definition


def fields(*parents: str) -> list[Field]:
    """Return every field of these types that has arguments."""
    return [
        Field(parent, name)
        for parent in parents
        for name, definition in SCHEMA.type_map[parent].fields.items()  # type: ignore[attr-defined]  # objects have
        if definition.args
    ]


class Caller:
    """Makes calls of one field; which, chance decides."""

    def __init__(self, random: Random, samples: Samples) -> None:
        self._random = random
        self._samples = samples

    def call(self, field: Field) -> tuple[str, dict[str, Any]]:
        """Return a document that calls the field with variables, and the variables."""
        arguments = field.definition.args
        given = [name for name in arguments if _is_required(arguments[name].type) or self._random.random() < 0.5]
        variables = {name: self.value(arguments[name].type, name, field) for name in given}
        declared = ", ".join(f"${name}: {arguments[name].type}" for name in given)
        passed = ", ".join(f"{name}: ${name}" for name in given)
        selected = selection(get_named_type(field.definition.type), 3 if field.parent == "Subscription" else 2)
        text = f"{field.name}{f'({passed})' if passed else ''} {selected}"
        if field.parent in PARENTS:
            head = PARENTS[field.parent].format(self._random.choice(self._samples.ids[field.parent]))
            text = f"{head} {{ {text} }}"
        kind = field.parent.lower() if field.parent in ("Mutation", "Subscription") else "query"
        return f"{kind} {f'({declared})' if declared else ''} {{ {text} }}", variables

    def value(self, type_: GraphQLInputType, name: str, field: Field) -> Any:
        """Return a value for an argument: rarely of another type."""
        hostile = lambda: orjson.Fragment(self._random.choice(WELL_FORMED))  # noqa: E731
        return weighted(self._random, lambda: self._proper(type_, name, field), [hostile], times=12)

    def _proper(self, type_: GraphQLInputType, name: str, field: Field) -> Any:
        random, inner = self._random, get_nullable_type(type_)
        if inner is type_ and random.random() < 0.1:
            return None
        match inner:
            case GraphQLList():
                size = random.choice([0, 1, 1, 2, 3, 101 if random.random() < 0.2 else 1])
                return [self.value(inner.of_type, name, field) for _ in range(size)]
            case GraphQLInputObjectType():
                return self._input(inner, field)
            case GraphQLEnumType():
                return random.choice([*inner.values, "NOTHING", ""])
        if inner.name == "ID":
            return self._id(name, field)
        if name in ("after", "before"):
            return self._cursor()
        if name == "number":
            return random.choice([*self._samples.numbers, *BAD_NUMBERS])
        known = PLAUSIBLE.get(name) or TEXTS.get(name) or PLAUSIBLE[inner.name]
        return random.choice(known[:2]) if random.random() < 0.6 else random.choice(known)

    def _input(self, type_: GraphQLInputObjectType, field: Field) -> dict[str, Any]:
        chosen = {
            name: self.value(definition.type, name, field)
            for name, definition in type_.fields.items()
            if _is_required(definition.type) or self._random.random() < 0.4
        }
        if self._random.random() < 0.05:
            chosen[self._random.choice(["", "unknown", "__typename", *type_.fields])] = None
        return chosen

    def _id(self, name: str, field: Field) -> str:
        random = self._random
        named = [type_ for text in (name, field.name) for type_ in _LONGEST_FIRST if type_.lower() in text.lower()]
        wanted = "OrderItem" if name == "itemIds" else next(iter(named), random.choice(NODES))
        id = random.choice(self._samples.ids[wanted])
        type_, _, key = id.partition("_")
        others = [
            lambda: random.choice([value for ids in self._samples.ids.values() for value in ids]),
            lambda: f"{type_}_{key.upper()}",
            lambda: f"{type_}_{key.replace('-', '')}",
            lambda: f"{type_}_{random.choice(KEYS)}",
            lambda: f"{random.choice([*NODES, 'Nobody', ''])}_{key}",
            lambda: f"{id}\n",
            lambda: "".join(mutated(random, id, '_-0fFg\0é{}"')),
        ]
        return weighted(random, lambda: id, others, times=4)

    def _cursor(self) -> str:
        random = self._random
        cursors = random.choice([*self._samples.cursors.values()])
        cursor = random.choice(cursors)
        text = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        order, key, value = text.split(":", 2)
        others = [
            lambda: _encoded(f"{order}:{key}:{random.choice(CURSOR_VALUES)}"),
            lambda: _encoded(f"{order}:{random.choice(KEYS)}:{value}"),
            lambda: _encoded(f"{random.choice(['ID-asc', 'NAME-desc', 'X', ''])}:{key}:{value}"),
            lambda: "".join(mutated(random, cursor, "=-_+/é\0Az")),
            lambda: _encoded("".join(mutated(random, text, ":-\0é0aT+"))),
            lambda: urlsafe_b64encode(random.randbytes(random.randrange(60))).decode(),
        ]
        return weighted(random, lambda: cursor, others, times=2)


def selection(type_: GraphQLNamedType, depth: int) -> str:
    """Return a selection of everything that is flat, and of what is below."""
    if is_leaf_type(type_):
        return ""
    if isinstance(type_, GraphQLUnionType):
        members = " ".join(f"... on {each.name} {selection(each, depth)}" for each in type_.types)
        # The same name may be of different types in two members.
        return f"{{ __typename {members.replace(' message ', ' ')} }}"
    if not isinstance(type_, GraphQLObjectType):
        return "{ __typename id }"
    chosen = ["__typename"]
    for name, definition in type_.fields.items():
        named = get_named_type(definition.type)
        if not definition.args and (is_leaf_type(named) or depth > 0) and name not in ("edges", "status"):
            chosen.append(f"{name} {selection(named, depth - 1)}")
    return f"{{ {' '.join(chosen)} }}"


def _encoded(text: str) -> str:
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _is_required(type_: Any) -> bool:
    return isinstance(type_, GraphQLNonNull)
