"""Makes queries out of the schema: every field, argument and filter, in every form that GraphQL has for them."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, NamedTuple, TypeVar

from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNamedType,
    GraphQLNonNull,
    GraphQLObjectType,
    build_schema,
    get_named_type,
    get_nullable_type,
    is_composite_type,
    is_leaf_type,
)

from app.graphql.schema import schema_sdl

SCHEMA = build_schema(schema_sdl())
DEPTH = 7  # a list of nodes takes three levels: the connection, its nodes, their fields
FIELDS = 14
ROOTS = ["product", "products", "store", "stores", "order", "orders", "user", "viewer", "node", "nodes"]
SUPERUSERS = ["users", "auditEntries"]
NODES = ["User", "Store", "Product", "Order", "StoreOrder", "OrderItem", "AuditEntry"]
ORDERED = {
    "Store": "ID-asc",
    "Product": "ID-asc",
    "Order": "PLACED_AT-desc",
    "StoreOrder": "PLACED_AT-desc",
    "AuditEntry": "ID-desc",
}
ONE_OF = {"order": ("id", "number")}
"""Fields that take one of these arguments, and not two."""
TEXTS: Mapping[str, Sequence[Any]] = {
    "search": [
        "apple",
        "a",
        "",
        "  ",
        "äpfel",
        'quoted"',
        "del\x7f",
        "'; --",
        "漢字",
        "no such thing",
        "x" * 501,
        "a\0",
    ],
    "country": ["DE", "ch", "XX", ""],
    "city": ["berlin", "zurich", 'C"ity\\', " "],
    "currency": ["EUR", "jpy", "USD", "KWD", "XXX", "\x7f"],
    "operation": ["updateStore", 'odd "operation" \\', " placeOrder ", "", "no such thing", "a\0"],
    "Decimal": [0, "10.00", "0.01", "9999999999.99", "-1", "1e3", "10.005", "1" * 30, "1e400"],
    "DateTime": ["2026-01-01T00:00:00Z", "2026-01-01T01:30:00.000001+00:30", "0001-01-01T00:00:00Z", "yesterday"],
}
BAD_IDS = ["", "Product_", "Nobody_01970000-0000-7000-8000-000000000000", "Store_x\x7f"]
BAD_NUMBERS = ["", " ", "7K3M", "0000_0000", "0" * 600, "ÄÖÜß", "a\x7f", "a\0"]
BAD_CURSORS = ["", "x", "é", "SUQtYXNjOng6eA", "a\x7f"]
SIZES = [2, 1, 3, 5, 0, 20, 100, 101, -1]

T = TypeVar("T")
ABSENT = object()


class Operation(NamedTuple):
    """What is sent."""

    query: str
    variables: dict[str, Any]
    name: str | None


class Value(NamedTuple):
    """An argument as it is written, and what it amounts to: with its variables as they are, JSON or ABSENT."""

    text: str
    json: Any


@dataclass
class Samples:
    """Ids by type, the numbers of orders, and cursors by type and order, as the API gives them out."""

    ids: Mapping[str, Sequence[str]] = field(repr=False)
    numbers: Sequence[str] = field(repr=False)
    cursors: Mapping[tuple[str, str], Sequence[str]] = field(repr=False)


@dataclass
class Generator:
    """Makes one operation; `below(n)` chooses from 0 to n - 1, of which 0 is the simplest."""

    below: Callable[[int], int]
    samples: Samples
    declared: list[str] = field(default_factory=list)
    variables: dict[str, Any] = field(default_factory=dict)
    fragments: dict[str, tuple[str, str]] = field(default_factory=dict)
    claimed: dict[str, str] = field(default_factory=dict)
    left: int = FIELDS
    names: Iterator[int] = field(default_factory=count)
    constant: bool = False

    def operation(self) -> Operation:
        """Return the operation."""
        roots = [self.roots() for _ in range(1 + self.below(4))]
        query_type = SCHEMA.query_type
        assert query_type is not None
        selected = [self.selected(query_type, self.choice(names), DEPTH) for names in roots]
        body = " ".join([*(text for texts in selected for text in texts), *(["__typename"] if self.rarely(8) else [])])
        definitions = [f"fragment {name} on {type_} {text}" for name, (type_, text) in self.fragments.items()]
        name = "Asked" if self.rarely(4) else None
        if name and self.rarely(3):
            definitions.append("query Other { __typename }")
        declared = f"({', '.join(self.declared)})" if self.declared else ""
        head = f"query {name or ''}{declared} " if name or declared else ""
        return Operation("\n".join([f"{head}{{ {body} }}", *definitions]), self.variables, name)

    def roots(self) -> Sequence[str]:
        """Return root fields to choose from; less often those which nearly everyone is refused."""
        if self.rarely(100):
            return ["__schema"]
        return SUPERUSERS if self.rarely(6) else ROOTS

    def selection(self, type_: GraphQLNamedType, depth: int) -> str:
        """Return a selection set of the type, in braces."""
        fields = self.object(type_).fields if type_.name != "Node" else {"id": ...}
        parts: list[str] = []
        for _ in range(1 + self.below(3)):
            parts += self.part(type_, list(fields), depth)
        return f"{{ {' '.join(parts)} }}"

    def part(self, type_: GraphQLNamedType, fields: list[str], depth: int) -> list[str]:
        """Return a field or a fragment; rarely a field twice, with two selections to be merged."""
        if depth > 1 and self.left > 0 and self.rarely(6) is not (type_.name == "Node"):
            return [self.fragment(type_, depth)]
        if self.rarely(12) or type_.name == "Node":
            return [self.choice(["__typename", "id" if type_.name == "Node" else "kind: __typename"])]
        object_type = self.object(type_)
        deep = [name for name in fields if is_composite_type(get_named_type(object_type.fields[name].type))]
        flat = [name for name in fields if name not in deep]
        if deep and depth > 0 and self.left > 0 and (not flat or not self.rarely(3)):
            return self.selected(object_type, self.choice(deep), depth, times=2 if self.rarely(8) else 1)
        return self.selected(object_type, self.choice(flat), depth) if flat else ["__typename"]

    def selected(self, parent: GraphQLObjectType, name: str, depth: int, times: int = 1) -> list[str]:
        """Return the field with its alias and arguments, so many times with directives and selection."""
        self.left -= 1
        if name.startswith("__"):
            return [f"{name} {{ queryType {{ name }} }}"]
        definition = parent.fields[name]
        head, type_ = self.head(name, definition), get_named_type(definition.type)
        if is_leaf_type(type_):
            return [f"{head}{self.directives()}"]
        return [f"{head}{self.directives()} {self.selection(type_, depth - 1)}" for _ in range(times)]

    def head(self, name: str, definition: GraphQLField) -> str:
        """Return alias, name and arguments. What has arguments has a key of its own, so that no two selections of a
        key differ in them."""
        arguments = self.arguments(name, definition)
        if arguments:
            if name not in self.claimed and not self.rarely(3):
                self.claimed[name] = arguments
                return f"{name}({arguments})"
            return f"{name}_{next(self.names)}: {name}({arguments})"
        if self.claimed.setdefault(name, "") or self.rarely(8):
            return f"plain_{name}: {name}"
        return name

    def fragment(self, type_: GraphQLNamedType, depth: int) -> str:
        """Return a fragment's spread, or one inline."""
        related = NODES if type_.name == "Node" else [one.name for one in self.object(type_).interfaces]
        on = self.choice([type_.name, *related])
        known = [name for name, (condition, _) in self.fragments.items() if condition == on]
        match self.below(4):
            case 0:
                condition = f" on {on}"
            case 1 if known:
                return f"...{self.choice(known)}{self.directives()}"
            case 1 | 2:
                name = f"F{next(self.names)}"
                text = self.selection(SCHEMA.type_map[on], depth - 1)
                self.fragments[name] = (on, text)
                return f"...{name}{self.directives()}"
            case _:
                condition, on = "", type_.name
        return f"...{condition}{self.directives()} {self.selection(SCHEMA.type_map[on], depth - 1)}"

    def directives(self) -> str:
        """Return @skip or @include, or neither, or both."""
        found = ""
        for name, usual in (("skip", False), ("include", True)):
            if self.rarely(12):
                holds = usual if not self.rarely(3) else not usual
                found += f" @{name}(if: {self.boolean(holds)})"
        return found

    def boolean(self, holds: bool) -> str:
        if not self.rarely(2):
            return json.dumps(holds)
        default = f" = {json.dumps(holds)}" if self.rarely(3) else ""
        name = self.declare(f"Boolean!{default}")
        if not default:
            self.variables[name] = holds
        return f"${name}"

    def arguments(self, name: str, definition: GraphQLField) -> str:
        """Return arguments of the field, without parentheses."""
        values: dict[str, Value] = {}
        names = sorted(definition.args, key=lambda name: name in ("after", "before"))  # when the order is known
        size = "last" if self.rarely(3) else "first"
        exclusive = ONE_OF.get(name, ())
        chosen = self.choice(exclusive) if exclusive else None
        for argument in names:
            type_ = definition.args[argument].type
            wanted = isinstance(type_, GraphQLNonNull) or not self.rarely(2)
            if argument in ("first", "last"):
                wanted = (argument == size and not self.rarely(4)) or self.rarely(60)
            elif argument in ("after", "before"):
                wanted = self.rarely(4)
            elif argument in exclusive:
                wanted = (argument == chosen) is not self.rarely(25)
            if wanted:
                label = self.label(definition, values) if argument in ("after", "before") else name
                values[argument] = self.value(type_, argument, label)
        return ", ".join(f"{argument}: {value.text}" for argument, value in values.items())

    def label(self, definition: GraphQLField, values: Mapping[str, Value]) -> str:
        """Return the type and the order that a cursor of this field must be of."""
        kind = get_named_type(definition.type).name.removesuffix("Connection")
        order, filter = (known(values.get(name)) for name in ("orderBy", "filter"))
        label = ORDERED.get(kind, "ID-asc")
        if order:
            usual = "DESC" if kind in ("Order", "StoreOrder") else "ASC"
            label = f"{order['field']}-{(order.get('direction') or usual).lower()}"
        elif kind != "User" and ((filter or {}).get("search") or "").strip():
            label = "RELEVANCE-desc"
        return f"{kind} {label}"

    def value(self, type_: Any, name: str, hint: str) -> Value:
        """Return a value of the type, which may be a variable where one may stand."""
        if not self.constant and self.rarely(4):
            return self.variable(type_, name, hint)
        if not isinstance(type_, GraphQLNonNull) and self.rarely(10):
            return Value("null", None)
        match get_nullable_type(type_):
            case GraphQLList() as list_type:
                items = [self.value(list_type.of_type, name, hint) for _ in range(self.below(4))]
                if len(items) == 1 and self.rarely(2) and not items[0].text.startswith("$"):
                    return items[0]
                return Value(f"[{', '.join(item.text for item in items)}]", [item.json for item in items])
            case GraphQLInputObjectType() as input_type:
                return self.input(input_type, hint)
            case GraphQLEnumType() as enum_type:
                member = self.choice(list(enum_type.values))
                return Value(member, member)
            case scalar:
                found = self.scalar(str(scalar), name, hint)
                return Value(json.dumps(found, ensure_ascii=False), found)

    def input(self, type_: GraphQLInputObjectType, hint: str) -> Value:
        values: dict[str, Value] = {}
        for name, definition in type_.fields.items():
            required = isinstance(definition.type, GraphQLNonNull) and definition.default_value in (None, ...)
            if (required and name != "direction") or self.rarely(2):
                values[name] = self.value(definition.type, name, hint)
        text = ", ".join(f"{name}: {value.text}" for name, value in values.items())
        return Value(f"{{{text}}}", {name: value.json for name, value in values.items() if value.json is not ABSENT})

    def scalar(self, kind: str, name: str, hint: str) -> Any:
        if kind == "Int":
            return self.choice(SIZES[:6]) if not self.rarely(20) else self.choice(SIZES)
        if kind == "Boolean":
            return not self.rarely(2)
        if kind == "ID":
            if self.rarely(25):
                return self.choice(BAD_IDS)
            ids = self.samples.ids
            return self.choice(ids[self.expected(name, hint) if not self.rarely(30) else "Product"])
        if name in ("after", "before"):
            of_type, _, order = hint.partition(" ")
            cursors = self.samples.cursors.get((of_type, order), ())
            return self.choice(cursors) if cursors and not self.rarely(25) else self.choice(BAD_CURSORS)
        if name == "number":
            return self.number()
        texts = TEXTS.get(name) or TEXTS.get(kind) or TEXTS["search"]
        return self.choice(texts[:4]) if not self.rarely(3) else self.choice(texts)

    def number(self) -> str:
        """Return an order's number, as people write it."""
        if self.rarely(10):
            return self.choice(BAD_NUMBERS)
        number = self.choice(self.samples.numbers)
        return self.choice([number, number.replace("-", " ").replace("0", "o"), number.replace("-", "")])

    def expected(self, name: str, hint: str) -> str:
        """Return the type whose id is expected of an argument of this name, of the field that is the hint."""
        if name in ("storeId", "actorId"):
            return {"storeId": "Store", "actorId": "User"}[name]
        return self.choice(NODES) if name == "entityId" or hint in ("node", "nodes") else hint.capitalize()

    def variable(self, type_: Any, name: str, hint: str) -> Value:
        """Return a variable: given, null, left out, and with or without a default."""
        self.constant = True
        value, default = self.value(type_, name, hint), self.value(type_, name, hint)
        self.constant = False
        required = isinstance(type_, GraphQLNonNull)
        if self.rarely(3):
            declared = self.declare(f"{get_nullable_type(type_)} = {default.text}")
            if required and value.json is None:
                return Value(f"${declared}", default.json)
            if not self.rarely(2):
                return Value(f"${declared}", default.json)
        else:
            strict = "" if required or value.json is None or not self.rarely(3) else "!"
            declared = self.declare(f"{type_}{strict}")
            if not required and not strict and self.rarely(3):
                return Value(f"${declared}", ABSENT)
        self.variables[declared] = None if required and self.rarely(30) else value.json
        return Value(f"${declared}", value.json)

    def declare(self, type_: str) -> str:
        name = f"v{len(self.declared)}"
        self.declared.append(f"${name}: {type_}")
        return name

    def rarely(self, times: int) -> bool:
        """Tell whether to do what is done once in so many times."""
        return self.below(times) == times - 1

    def choice(self, values: Sequence[T]) -> T:
        return values[self.below(len(values))]

    @staticmethod
    def object(type_: GraphQLNamedType) -> GraphQLObjectType:
        assert isinstance(type_, GraphQLObjectType)
        return type_


def known(value: Value | None) -> Any:
    """Return what an argument amounts to, None where it is absent."""
    return None if value is None or value.json is ABSENT else value.json
