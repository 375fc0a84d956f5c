"""Which operations the compiled path answers, with how many statements, and which it leaves to the resolver path."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta

import orjson
import pytest
from uuid_utils.compat import uuid7

from app.graphql.compiled.plans import Plan
from app.security.tokens import AccessTokens
from app.security.viewer import Viewer
from app.settings import Settings
from tests.api import Api
from tests.graphql.compiled.world import Population
from tests.market import gid
from tests.paths import Paths
from tests.statements import Statements

PRODUCTS = "products(first: 50) { nodes { id name price { amount currency } store { id name city currency } } }"
ORDERS = """orders(first: 20) {
  nodes { id placedAt items { quantity product { id name price { amount currency } store { id name } } } }
}"""
STORE_ORDERS = """viewer { stores { nodes { orders(first: 20, filter: { status: [OPEN] }) {
  nodes {
    id number status customerName note total { amount currency } shippingAddress { recipient lines city }
    items { quantity productName product { id } }
  }
} } } }"""
ORDER = """order(id: $id) {
  id placedAt items { quantity product { id name price { amount currency } store { id name } } }
}"""
STORES = "stores(first: 10) { nodes { id name products(first: 20) { nodes { id name price { amount currency } } } } }"
DOCUMENTED = {
    "products": f"{{ {PRODUCTS} }}",
    "orders": f"{{ {ORDERS} }}",
    "orders of stores": f"{{ {STORE_ORDERS} }}",
    "order": f"query ($id: ID!) {{ {ORDER} }}",
    "stores": f"{{ {STORES} }}",
    "all of them": f"query ($id: ID!) {{ {PRODUCTS} {ORDERS} {STORE_ORDERS} {ORDER} {STORES} again: {STORES} "
    "viewer { email } }",
}
DECLINED = {
    "introspection, too": "{ __schema { queryType { name } } viewer { id } }",
    "too many fields": f"{{ products {{ nodes {{ {' '.join(f'n{number:x}:id' for number in range(1000))} }} }} }}",
    "too many look-ups": f"{{ {' '.join(f'v{number}: viewer {{ id }}' for number in range(101))} }}",
    "too deep": "{ viewer " + "{ stores { nodes { owner " * 16 + "{ id }" + " } } }" * 16 + " }",
    "too many totals": "{ a: products { ...T } b: products { ...T } } fragment T on ProductConnection "
    f"{{ {' '.join(f't{number}: totalCount' for number in range(500))} }}",
    "a field with a resolver of its own": "{ auditEntries { nodes { entity { id } } } }",
    "a union": "{ quoteOrder(input: { items: [] }) { __typename } }",
    "only in part understood": "{ products { totalCount } __schema { queryType { name } } }",
}
OPERATIONS = """
query A { a: __typename } query B { b: __typename }
mutation M { logOut(input: { refreshToken: "x" }) { __typename } }
"""
REFUSED = {
    "a malformed id": ('{ store(id: "x") { id } }', "BAD_USER_INPUT"),
    "an id of another type": ('{ store(id: "User_01970000-0000-7000-8000-000000000000") { id } }', "BAD_USER_INPUT"),
    "a malformed cursor": ('{ products(after: "x") { totalCount } }', "BAD_USER_INPUT"),
    "a cursor of another order": ('{ products(after: "TkFNRS1hc2M6MDox") { totalCount } }', "BAD_USER_INPUT"),
    "a page too large": ("{ products(first: 101) { totalCount } }", "BAD_USER_INPUT"),
    "a negative page": ("{ stores { nodes { products(last: -1) { totalCount } } } }", "BAD_USER_INPUT"),
    "both ends": ("{ products(first: 1, last: 1) { totalCount } }", "BAD_USER_INPUT"),
    "a null where none may be": ('query ($id: ID = "x") { store(id: $id) { id } }', "BAD_USER_INPUT"),
    "a text too long": (f'{{ stores(filter: {{city: "{"x" * 501}"}}) {{ totalCount }} }}', "BAD_USER_INPUT"),
    "an unknown field": ("{ products { price } }", "GRAPHQL_VALIDATION_FAILED"),
    "an unknown directive": ("{ ... @defer { viewer { id } } }", "GRAPHQL_VALIDATION_FAILED"),
    "no GraphQL": ("{ products", "GRAPHQL_PARSE_FAILED"),
    "nesting without end": ("{ a" * 2000 + "}" * 2000, "GRAPHQL_PARSE_FAILED"),
}


@pytest.mark.parametrize("name", DOCUMENTED)
async def test_a_documented_query_is_one_statement(
    paths: Paths, population: Population, pooled_statements: Statements, name: str
) -> None:
    customer = population.viewers["customer"]
    variables = {"id": population.ids["Order"][0]}
    answers = await paths.agree(DOCUMENTED[name], variables, user=customer)
    pooled_statements.clear()

    assert answers.was_compiled
    await paths.compiled.data(DOCUMENTED[name], variables, user=customer)

    assert len(paths.watch.statements) == 2  # one for each time it was asked
    assert pooled_statements == []


async def test_a_query_that_needs_no_rows_is_answered_too(paths: Paths) -> None:
    answers = await paths.agree("{ __typename products { kind: __typename } stores { nodes @skip(if: true) { id } } }")

    assert answers.was_compiled
    data = b'{"__typename":"Query","products":{"kind":"ProductConnection"},"stores":{}}'
    assert answers.compiled == b'{"data":%b,"extensions":{"cost":{"requested":40,"limit":10000000000}}}' % data


@pytest.mark.parametrize("query", ["{ viewer @skip(if: true) { id } }", "{ viewer { id @include(if: false) } }"])
async def test_an_empty_selection_is_an_empty_object(paths: Paths, population: Population, query: str) -> None:
    answers = await paths.agree(query, user=population.viewers["customer"])

    assert answers.was_compiled


@pytest.mark.parametrize("name", ["idle", "anonymous", "owner", "superuser"])
async def test_a_list_that_the_viewer_may_not_see_is_null_without_an_error(
    paths: Paths, population: Population, name: str
) -> None:
    everyones = await paths.resolver.data(
        "{ orders { pageInfo { startCursor endCursor } } }", user=population.viewers["superuser"]
    )
    page = everyones["orders"]["pageInfo"]
    query = """query ($startCursor: String!, $endCursor: String!) {
      stores { nodes {
        owner { id orders { totalCount } }
        a: orders(after: $startCursor) { pageInfo { hasPreviousPage hasNextPage } }
        b: orders(before: $endCursor) { pageInfo { hasPreviousPage hasNextPage } }
      } }
    }"""

    answers = await paths.ask(query, page, user=population.viewers[name])

    assert not answers.has_errors
    viewer = population.viewers[name]
    seen = set()
    for store in answers.data["stores"]["nodes"]:
        is_owner = viewer is not None and store["owner"] is not None and store["owner"]["id"] == gid(viewer)
        sees = is_owner or name == "superuser"
        assert (store["a"] is not None, store["b"] is not None) == (sees, sees)
        assert store["owner"] is None or (store["owner"]["orders"] is not None) is sees
        seen.add(sees)
    assert seen == {"owner": {True, False}, "superuser": {True}}.get(name, {False})


@pytest.mark.parametrize("name", DECLINED)
async def test_what_is_not_understood_is_left_to_the_resolver_path(
    paths: Paths, population: Population, name: str
) -> None:
    answers = await paths.agree(DECLINED[name], user=population.viewers["superuser"])

    assert not answers.has_errors
    assert not answers.was_compiled
    assert paths.watch.calls == 1
    assert paths.watch.statements == []


@pytest.mark.parametrize("name", REFUSED)
async def test_what_is_refused_is_refused_by_the_resolver_path(paths: Paths, name: str) -> None:
    query, code = REFUSED[name]
    error = await paths.compiled.error(query, {"id": None} if "$id" in query else {})

    assert error["code"] == code
    assert paths.watch.failure is None
    assert paths.watch.statements == []
    await paths.agree(query, {"id": None} if "$id" in query else {})


REFUSED_FIELDS = {
    "alone": ("{ orders { totalCount } }", "anonymous", ["orders"]),
    "among others": ("{ viewer { id } users { totalCount } stores { nodes { name } } }", "customer", ["users"]),
    "several": (
        "{ a: users { totalCount } products { totalCount } orders { nodes { id } } b: auditEntries { nodes { id } } }",
        "anonymous",
        ["a", "orders", "b"],
    ),
    "twice, with other aliases": (
        "{ a: orders { totalCount } b: orders(first: 1) { totalCount } }",
        "anonymous",
        ["a", "b"],
    ),
    "in two places that are merged": (
        "{ orders { totalCount } ...O } fragment O on Query { orders { nodes { id } } }",
        "anonymous",
        ["orders"],
    ),
    "in fragments": (
        "{ ...A } fragment A on Query { ... on Query { users { totalCount } } stores(first: 1) { totalCount } }",
        "owner",
        ["users"],
    ),
    "with arguments that would be refused": (
        '{ orders(first: 101, after: "x") { totalCount } }',
        "anonymous",
        ["orders"],
    ),
    "that is skipped, beside one that is not": (
        "{ orders @skip(if: true) { totalCount } users { totalCount } }",
        "anonymous",
        ["users"],
    ),
}


@pytest.mark.parametrize("name", REFUSED_FIELDS)
async def test_a_root_field_that_the_viewer_may_not_read_is_null_with_its_error(
    paths: Paths, population: Population, name: str
) -> None:
    query, viewer, refused = REFUSED_FIELDS[name]
    code = "UNAUTHENTICATED" if viewer == "anonymous" else "FORBIDDEN"
    for _ in range(2):
        answers = await paths.agree(query, user=population.viewers[viewer])

        assert answers.was_compiled
        assert [(error["path"], error["extensions"]["code"]) for error in answers.errors] == [
            ([key], code) for key in refused
        ]
        data = orjson.loads(answers.compiled)["data"]
        assert [key for key, value in data.items() if value is None] == refused
        if data.keys() == set(refused):
            assert paths.watch.statements == []


async def test_arguments_of_a_field_that_is_refused_are_coerced_before(paths: Paths, population: Population) -> None:
    """Where the value of a variable cannot be used, the resolver path says so, whoever asks."""
    query = "query ($by: OrderSortField = PLACED_AT) { orders(orderBy: { field: $by }) { totalCount } viewer { id } }"
    for viewer in ("anonymous", "customer"):
        answers = await paths.agree(query, {"by": None}, user=population.viewers[viewer])

        assert [error["extensions"]["code"] for error in answers.errors] == ["BAD_USER_INPUT"]
        assert not (await paths.agree(query, user=population.viewers["customer"])).has_errors


@pytest.mark.parametrize("token", ["Bearer x", "Basic eDp5", "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0."])
async def test_a_token_that_is_no_good_is_not_nobody(paths: Paths, token: str) -> None:
    answers = await paths.ask("{ viewer { id } }", headers={"Authorization": token})

    assert b"UNAUTHENTICATED" in answers.compiled
    assert answers.compiled == answers.resolver


async def test_a_token_that_has_expired_is_not_nobody(paths: Paths, population: Population, settings: Settings) -> None:
    customer = population.viewers["customer"]
    assert customer is not None
    tokens = AccessTokens(settings.secret_keys, timedelta(minutes=-1))
    token, _ = tokens.issue(Viewer(id=customer.id), uuid7())

    for query in ("{ viewer { id } }", "{ orders { totalCount } }"):
        answers = await paths.ask(query, headers={"Authorization": f"Bearer {token}"})
        assert b"UNAUTHENTICATED" in answers.compiled
        assert answers.compiled == answers.resolver


@pytest.mark.parametrize(("name", "compiled"), [("B", True), ("A", True), ("M", False)])
async def test_the_operation_with_the_name_is_answered(paths: Paths, name: str, compiled: bool) -> None:
    await paths.agree(OPERATIONS, operation_name="A")

    answers = await paths.agree(OPERATIONS, operation_name=name)

    assert answers.was_compiled is compiled


@pytest.mark.parametrize("name", ["C", "", None])
async def test_an_operation_that_is_not_there_or_not_named_is_refused(paths: Paths, name: str | None) -> None:
    sent = {"query": OPERATIONS, "operationName": name}
    resolver, compiled = [await api.client.post("/graphql", json=sent) for api in (paths.resolver, paths.compiled)]

    assert resolver.status_code == compiled.status_code == 200
    assert resolver.content == compiled.content
    assert resolver.json()["errors"][0]["extensions"] == {"code": "BAD_USER_INPUT"}
    assert "data" not in resolver.json()
    assert paths.watch.calls == 0


async def test_the_path_is_not_used_unless_it_is_switched_on(paths: Paths) -> None:
    await paths.resolver.data("{ products { totalCount } }")

    assert paths.watch.calls == 0


async def test_a_get_is_answered_like_a_post(paths: Paths) -> None:
    async def get(api: Api) -> bytes:
        response = await api.client.get("/graphql", params={"query": f"{{ {STORES} }}"})
        assert response.status_code == 200
        return bytes(response.content)

    assert await get(paths.resolver) == await get(paths.compiled)
    assert paths.watch.answered


async def test_a_list_too_long_is_left_to_the_resolver_path(paths: Paths, population: Population) -> None:
    query = "query ($s: [OrderStatus!]) { orders(filter: { status: $s }) { totalCount } }"
    superuser = population.viewers["superuser"]

    few = await paths.agree(query, {"s": ["PLACED"] * 100}, user=superuser)
    many = await paths.agree(query, {"s": ["PLACED"] * 4_000}, user=superuser)

    assert (few.was_compiled, many.was_compiled) == (True, False)
    assert few.resolver == many.resolver


@pytest.mark.parametrize("query", ["{ viewer { id } }", "{ __schema { queryType { name } } }"])
async def test_a_body_that_comes_in_pieces_is_answered_in_either_path(paths: Paths, query: str) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for character in f'{{"query": "{query}"}}':
            yield character.encode()

    headers = {"Content-Type": "application/json"}
    whole = await paths.compiled.client.post("/graphql", json={"query": query})
    pieced = await paths.compiled.client.post("/graphql", content=pieces(), headers=headers)

    assert (pieced.status_code, pieced.content) == (200, whole.content)


async def test_a_total_is_counted_once_however_often_it_is_asked_for(paths: Paths, population: Population) -> None:
    query = "{ stores { a: totalCount b: totalCount nodes { products { c: totalCount d: totalCount } } } }"

    assert (await paths.agree(query, user=population.viewers["customer"])).was_compiled

    (plan,) = paths.plans()
    assert isinstance(plan, Plan)
    assert len(re.findall(r"SELECT count\(\*\) AS total", plan.sql)) == 2
