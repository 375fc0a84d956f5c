"""Whatever text a client sends in whatever place, the answer is never an internal error: every string, id, date and
decimal of every argument is tried."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLUnionType,
    build_schema,
    get_named_type,
)

from app.graphql.schema import schema_sdl
from app.security import passwords
from tests.api import Api
from tests.market import Market, gid
from tests.security.hashing import use_recording_hasher

TEXTS = [
    "\0",
    "a\0b",
    "",
    " ",
    "x" * 20_000,
    "\x1b\x7f\u202e\ufeff\U0001f600",
    "a\x7fb",
    "'; DROP TABLE users; --",
    '"\\%_{}$1:x',
]
TEXTUAL = {"String", "ID", "DateTime", "Decimal", "CountryCode", "CurrencyCode"}
EXAMPLES = {
    "email": "ada@example.com",
    "country": "DE",
    "currency": "EUR",
    "Decimal": "1.00",
    "DateTime": "2026-01-01T00:00:00Z",
    "Int": 1,
    "Boolean": True,
}
READ_WITH = {"currentPassword": "password"}
"""Fields that are ignored without another one."""
PARENTS = {"Query": "", "Mutation": "", "User": "viewer"}
Path = tuple[str, ...]
SCHEMA = build_schema(schema_sdl())


@dataclass(frozen=True)
class Place:
    """Where in the schema a client may write text: a field, and the path into its arguments."""

    parent: str
    field: str
    path: Path

    def __str__(self) -> str:
        return f"{self.parent}.{self.field}({'.'.join(self.path)})"

    @property
    def definition(self) -> GraphQLField:
        type_ = SCHEMA.type_map[self.parent]
        assert isinstance(type_, GraphQLObjectType)
        definition: GraphQLField = type_.fields[self.field]
        return definition

    @property
    def is_checked(self) -> bool:
        """Whether the field may answer that its input is invalid: what writes texts does."""
        result = get_named_type(self.definition.type)
        return isinstance(result, GraphQLUnionType) and "InvalidInput" in (type_.name for type_ in result.types)

    @property
    def subject(self) -> str:
        """The type whose row an `id` of this field means."""
        names, field = ("User", "StoreOrder", "Store", "Order"), self.field.lower()
        return next((name for name in names if field.endswith(name.lower())), "Product")


def textual_paths(type_: GraphQLInputType, path: Path) -> Iterator[Path]:
    named = get_named_type(type_)
    if isinstance(named, GraphQLScalarType) and named.name in TEXTUAL:
        yield path
    elif isinstance(named, GraphQLInputObjectType):
        for name, field in named.fields.items():
            yield from textual_paths(field.type, (*path, name))


def places() -> Iterator[Place]:
    for type_ in SCHEMA.type_map.values():
        if isinstance(type_, GraphQLObjectType) and not type_.name.startswith("__") and type_.name != "Subscription":
            for name, field in type_.fields.items():
                for argument, definition in field.args.items():
                    for path in textual_paths(definition.type, (argument,)):
                        yield Place(type_.name, name, path)


def value(
    definition: GraphQLArgument | GraphQLInputField, path: Path, place: Place, text: str, ids: dict[str, str]
) -> Any:
    """Return an argument that is as it should be, but for the text at the target."""
    named, is_list = get_named_type(definition.type), _is_list(definition.type)
    result: Any
    if path == place.path:
        result = text
    elif isinstance(named, GraphQLInputObjectType):
        result = {
            name: value(field, (*path, name), place, text, ids)
            for name, field in named.fields.items()
            if isinstance(field.type, GraphQLNonNull)
            or place.path[: len(path) + 1] == (*path, name)
            or READ_WITH.get(place.path[-1]) == name
        }
    elif isinstance(named, GraphQLEnumType):
        result = next(iter(named.values))
    elif named.name == "ID":
        result = next((id for name, id in ids.items() if name.lower() in path[-1]), ids[place.subject])
    else:
        result = EXAMPLES.get(path[-1]) or EXAMPLES.get(named.name) or "Any text"
    return [result] if is_list else result


def _is_list(type_: GraphQLInputType) -> bool:
    inner = type_.of_type if isinstance(type_, GraphQLNonNull) else type_
    return isinstance(inner, GraphQLList)


def document(place: Place, arguments: list[str], ids: dict[str, str]) -> str:
    """Return an operation that calls the field with variables, and reads what it answers."""
    field = place.definition
    result = get_named_type(field.type)
    fields = result.fields if isinstance(result, GraphQLObjectType) else {}
    selection = "{ totalCount nodes { __typename } }" if "nodes" in fields else "{ __typename }"
    passed = ", ".join(f"{name}: ${name}" for name in arguments)
    declared = ", ".join(f"${name}: {field.args[name].type}" for name in arguments)
    call = f"{place.field}({passed}) {selection}"
    if parent := _parent(place.parent, ids):
        call = f"{parent} {{ {call} }}"
    return f"{'mutation' if place.parent == 'Mutation' else 'query'} ({declared}) {{ {call} }}"


def _parent(type_: str, ids: dict[str, str]) -> str:
    """Return the field that an object of this type is read by, nothing at the root."""
    return PARENTS[type_] if type_ in PARENTS else f'{type_.lower()}(id: "{ids[type_]}")'


@pytest.fixture(autouse=True)
async def _cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    await use_recording_hasher(monkeypatch)
    yield
    passwords._nobodys_hash.cache_clear()


@pytest.fixture
async def ids(market: Market) -> dict[str, str]:
    """Return the id of a row of each type that a field looks up."""
    superuser = await market.superuser()
    store = await market.store(superuser)
    product = await market.product(store)
    order = await market.order(superuser, product)
    rows = (superuser, store, product, order, await market.store_order(order, store))
    return {type(row).__name__: gid(row) for row in rows}


@pytest.mark.parametrize("place", [place for place in places() if place.is_checked], ids=str)
async def test_what_the_database_would_refuse_is_an_invalid_input(
    api: Api, market: Market, ids: dict[str, str], place: Place
) -> None:
    superuser, definitions = await market.superuser(), place.definition.args.items()
    arguments = {name: value(argument, (name,), place, "a\x7fb", ids) for name, argument in definitions}
    query = document(place, list(arguments), ids)
    query = query.replace("__typename", "__typename ... on InvalidInput { issues { path } }")

    response = (await api.send(query, arguments, user=superuser)).json()

    if "errors" in response:
        assert [error["extensions"]["code"] for error in response["errors"]] == ["BAD_USER_INPUT"]
    else:
        assert any(place.path[-1] in issue["path"] for issue in response["data"][place.field]["issues"])


@pytest.mark.parametrize("place", list(places()), ids=str)
async def test_no_text_is_an_internal_error(api: Api, market: Market, ids: dict[str, str], place: Place) -> None:
    superuser = await market.superuser()

    for text in TEXTS:
        arguments = {
            name: value(argument, (name,), place, text, ids)
            for name, argument in place.definition.args.items()
            if isinstance(argument.type, GraphQLNonNull) or name == place.path[0]
        }
        response = await api.send(document(place, list(arguments), ids), arguments, user=superuser)

        assert response.status_code == 200
        for error in response.json().get("errors", ()):
            assert error["extensions"]["code"] == "BAD_USER_INPUT", (text, error)
            # of what was tried, and not of anything else that kept the text from where it might do harm
            blamed = [step for step in error["extensions"].get("argumentPath", []) if not step.isdigit()]
            assert blamed in ([], list(place.path)), (text, error)
