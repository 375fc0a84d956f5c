"""What operations cost, and that those which cost too much do not run. The figures are counted by hand."""

from typing import Any

import pytest
from graphql import FragmentDefinitionNode, OperationDefinitionNode, parse

from app.graphql.operations.cost import MOST, Meter
from app.graphql.schema import schema
from app.graphql.strawberry_internals import graphql_schema
from tests.api import Api
from tests.market import Market
from tests.statements import Statements

ITEMS = "items { quantity product { name price { amount } store { name } } }"
COSTS: dict[str, tuple[str, Any, int]] = {
    "nothing": ("{ __typename }", None, 0),
    "one object, whose attributes are free": ("{ viewer { id fullName email } }", None, 1),
    "an object of an object": ("{ viewer { stores(first: 1) { nodes { owner { id } } } } }", None, 1 + 1 + 1),
    "a page of the usual size": ("{ products { nodes { id price { amount } } } }", None, 20),
    "a page of this size": ("{ products(first: 7) { nodes { id store { id } } } }", None, 7 + 7),
    "a page from the end": ("{ products(last: 3) { edges { cursor node { store { id } } } } }", None, 3 + 3),
    "an empty page": ("{ products(first: 0) { pageInfo { hasNextPage } } }", None, 1),
    "where a page lies": ("{ products(first: 9) { pageInfo { endCursor } nodes { id } } }", None, 9),
    "a total": ("{ products(first: 1) { totalCount } }", None, 1 + 625),
    "a total of what is found": (
        '{ products(first: 1, filter: { search: "a" }) { totalCount } }',
        None,
        1 + 1_800 + 1_700,
    ),
    "a total of a shorter list": ("{ stores(first: 1) { totalCount } }", None, 1 + 50),
    "a search": ('{ products(first: 1, filter: { search: "a" }) { nodes { id } } }', None, 1 + 1_800),
    "a search, and whether there was a page before, which is found apart": (
        """query ($after: String) { products(first: 1, after: $after, filter: { search: "a" }) {
        nodes { id } pageInfo { endCursor hasPreviousPage } } }""",
        {"after": "x"},
        1 + 1_800 + 1_700,
    ),
    "a search in another order": (
        """query ($after: String, $by: ProductSortField!) {
        products(first: 1, after: $after, filter: { search: "a" }, orderBy: { field: $by }) {
        nodes { id } pageInfo { hasPreviousPage } totalCount } }""",
        {"after": "x", "by": "PRICE"},
        1 + 2_600 + 1_700 + 1_700,
    ),
    "a search by a variable": (
        "query ($s: String) { products(first: 1, filter: { search: $s }) { nodes { id } } }",
        {"s": "a"},
        1 + 1_800,
    ),
    "a search by a variable within a filter": (
        "query ($f: ProductFilter) { products(first: 1, filter: $f) { nodes { id } } }",
        {"f": {"search": "a", "inStock": None}},
        1 + 1_800,
    ),
    "a blank search, which restricts nothing": (
        "query ($f: ProductFilter) { products(first: 1, filter: $f) { nodes { id } } }",
        {"f": {"search": " ", "price": {"gte": None}}},
        1,
    ),
    "a filter within the indexes": (
        "{ products(first: 1, filter: { inStock: false }) { nodes { id } } }",
        None,
        1 + 600,
    ),
    "a range": ("{ products(first: 1, filter: { price: { lte: 5 } }) { nodes { id } } }", None, 1 + 600),
    "the dearest of the filters, which are looked through once": (
        '{ products(first: 1, filter: { search: "a", inStock: true, currency: "EUR" }) { nodes { id } } }',
        None,
        1 + 1_800,
    ),
    "a total of what is filtered within an index": (
        "{ products(first: 1, filter: { inStock: false }) { totalCount } }",
        None,
        1 + 600 + 625,
    ),
    "a filter that an index answers": (
        "query ($id: ID!) { products(first: 1, filter: { storeId: $id }) { nodes { id } } }",
        {"id": "Store_x"},
        1,
    ),
    "a search within each of a page": (
        '{ stores(first: 3) { nodes { products(first: 1, filter: { search: "a" }) { nodes { id } } } } }',
        None,
        3 + 3 * (1 + 1_800),
    ),
    "a filter within each of a page": (
        "{ stores(first: 3) { nodes { products(first: 1, filter: { inStock: true }) { nodes { id } } } } }",
        None,
        3 + 3 * 1 + 2 * 300,
    ),
    "a filter in the list of one object": (
        '{ store(id: "x") { products(first: 1, filter: { inStock: true }) { nodes { id } } } }',
        None,
        1 + 1 + 300,
    ),
    "a search and its total in the list of one object, which an index of all rows answers": (
        '{ store(id: "x") { products(first: 1, filter: { search: "a" }) { totalCount } } }',
        None,
        1 + 1 + 1_800 + 1_700,
    ),
    "what is deleted, and its total": (
        "{ products(first: 1, filter: { deleted: true, inStock: true }) { totalCount } }",
        None,
        1 + 1_700 + 1_700,
    ),
    "orders, of which a superuser looks through those of everyone": (
        "{ a: orders(first: 1) { totalCount } b: orders(first: 1, filter: { status: [PLACED] }) { totalCount } }",
        None,
        1 + 200 + 1 + 300 + 300,
    ),
    "a total within a list without pages, as often as there can be items": (
        '{ order(id: "x") { items { product { store { products(first: 1) { totalCount } } } } } }',
        None,
        1 + 15 * (1 + 1 + 1 + 1) + 100 * 312,
    ),
    "a total within a list within a list, as often as there can be items": (
        '{ order(id: "x") { storeOrders { items { product { store { products(first: 1) { totalCount } } } } } } }',
        None,
        1 + 15 * (1 + 1 + 1 + 1 + 1) + 100 * 312,
    ),
    "a search within a list without pages": (
        '{ order(id: "x") { items { product { store { products(filter: { search: "a" }) { nodes { id } } } } } } }',
        None,
        1 + 15 * (1 + 1 + 1 + 20) + 100 * 1_800,
    ),
    "a filter within what may be the same object each time": (
        "{ products(first: 3) { nodes { store { products(first: 1, filter: { inStock: true }) { nodes { id } } } } } }",
        None,
        3 + 3 * (1 + 1 + 300),
    ),
    "a long text, by what it can hold": ("{ products(first: 2) { nodes { description } } }", None, 2 * 19),
    "a long text, as often as it is selected": (
        "{ products(first: 2) { nodes { a: description b: description } } }",
        None,
        2 * 37,
    ),
    "many short texts": (
        "{ stores(first: 2) { nodes { name street city a: name b: street c: city } } }",
        None,
        2 * 3,  # 6 of 1,020 bytes
    ),
    "a long alias": (f"{{ stores(first: 2) {{ nodes {{ {'a' * 4_000}: id }} }} }}", None, 2 * 2),
    "pages within a page": (
        "{ stores(first: 10) { nodes { products(first: 20) { nodes { name } } } } }",
        None,
        10 + 10 * 20,
    ),
    "totals within a page": (
        "{ stores(first: 10) { nodes { products(first: 2) { totalCount } } } }",
        None,
        10 + 10 * 2 + 2 * 312,
    ),
    "what changes all products of a store": (
        'mutation { deleteStore(input: { id: "x" }) { __typename } }',
        None,
        1_700,
    ),
    "lists without pages": (f"{{ orders(first: 5) {{ nodes {{ {ITEMS} }} }} }}", None, 5 + 5 * 15 * 3),
    "lists within lists, as one": (
        f"{{ orders(first: 5) {{ nodes {{ storeOrders {{ store {{ name }} {ITEMS} }} }} }} }}",
        None,
        5 + 5 * 15 * (1 + 1 + 3),
    ),
    "by a variable": ("query ($n: Int) { products(first: $n) { nodes { id } } }", {"n": 33}, 33),
    "by a variable that is written as a fraction": (
        "query ($n: Int) { products(first: $n) { nodes { id } } }",
        {"n": 33.0},
        33,
    ),
    "by a variable that is absent": ("query ($n: Int) { products(first: $n) { nodes { id } } }", {}, 20),
    "by a variable's default": ("query ($n: Int = 4) { products(first: $n) { nodes { id } } }", {}, 4),
    "without what is skipped": (
        "query ($no: Boolean!) { products(first: 9) @skip(if: $no) { nodes { id } } viewer @include(if: $no) { id } }",
        {"no": True},
        1,
    ),
    "with what is not skipped": (
        "query ($no: Boolean!) { products(first: 9) @skip(if: $no) { nodes { id } } viewer @include(if: $no) { id } }",
        {"no": False},
        9,
    ),
    "what is merged, once": (
        "{ ...A ...B products(first: 9) { nodes { name } } } fragment A on Query { ...B } "
        "fragment B on Query { products(first: 9) { nodes { store { id } ... on Node { id } } } }",
        None,
        9 + 9,
    ),
    "what has another alias, too": ("{ a: viewer { id } b: viewer { id } }", None, 2),
    "the dearest of several types": (
        """query ($id: ID!) { node(id: $id) { id ... on Store { owner { id } products(first: 5) { nodes { id } } }
        ... on Product { store { id } } } }""",
        {"id": "Store_x"},
        1 + 1 + 5,
    ),
    "so many nodes": (
        '{ nodes(ids: ["Product_a", "Product_b", "Product_c"]) { ... on Product { store { id } } } }',
        None,
        3 + 3,
    ),
    "a number, which is one id": ("{ nodes(ids: -90) { id } products(first: 7) { nodes { id } } }", None, 1 + 7),
    "a number in a variable, which is one id": (
        "query ($ids: [ID!]!) { nodes(ids: $ids) { id } products(first: 7) { nodes { id } } }",
        {"ids": -90},
        1 + 7,
    ),
    "as many nodes as a variable has": (
        "query ($ids: [ID!]!) { nodes(ids: $ids) { ... on Product { store { id } } } }",
        {"ids": ["Product_a"] * 50},
        50 + 50,
    ),
}


@pytest.mark.parametrize("name", COSTS)
async def test_an_operation_costs_its_objects(api: Api, name: str) -> None:
    query, variables, cost = COSTS[name]

    result = (await api.send(query, variables)).json()

    assert result["extensions"]["cost"] == {"requested": cost, "limit": 5000}


async def test_a_mutation_costs_what_it_takes_and_what_it_returns(api: Api, market: Market) -> None:
    product = await market.product()
    query = """
    mutation ($input: PlaceOrderInput!) {
      placeOrder(input: $input) { ... on PlaceOrderSuccess { order { items { id } } orderEdge { node { id } } } }
    }
    """
    item = {"productId": f"Product_{product.id}", "quantity": 1}

    result = await api.execute(query, {"input": {"items": [item]}}, user=await market.user())

    assert result["data"]["placeOrder"]["order"]["items"]
    assert result["extensions"]["cost"]["requested"] == 10 + 2 + 15


async def test_a_mutation_that_returns_no_object_costs_ten(api: Api) -> None:
    log_out = 'logOut(input: { refreshToken: "x" }) { ... on LogOutSuccess { wasOpen } }'

    result = (await api.send(f"mutation {{ {log_out} again: {log_out} }}")).json()

    assert result["extensions"]["cost"]["requested"] == 20


async def test_what_costs_too_much_does_not_run(api: Api, statements: Statements) -> None:
    query = "{ stores(first: 100) { nodes { products(first: 100) { nodes { id } } } } }"

    result = (await api.send(query)).json()

    cost = {"requested": 100 + 100 * 100, "limit": 5000}
    (error,) = result["errors"]
    assert result.get("data") is None
    assert error["extensions"] == {"code": "COST_LIMIT_EXCEEDED", "cost": cost}
    assert result["extensions"] == {"cost": cost}
    assert statements == []


async def test_variables_decide_each_time(api: Api) -> None:
    query = "query ($n: Int) { stores(first: 50) { nodes { products(first: $n) { nodes { id } } } } }"
    for size, allowed in ((50, True), (100, False), (70, True), (100, False)):
        result = (await api.send(query, {"n": size})).json()
        assert ("errors" not in result) is allowed


@pytest.mark.parametrize("value", ["50", 5.5, True, {"a": 1}, -7, 10**30, None, [1, 2]])
async def test_values_that_are_none_are_left_to_who_checks_them(api: Api, value: Any) -> None:
    query = "query ($n: Int) { products(first: $n) { nodes { id } } }"

    result = (await api.send(query, {"n": value})).json()

    assert value is None or result["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


def doubling(levels: int) -> str:
    """Return a document that selects twice as much with each of these levels."""
    fragments = " ".join(
        f"fragment F{level} on Store {{ a: owner {{ stores(first: 1) {{ nodes {{ ...F{level + 1} }} }} }} "
        f"b: owner {{ stores(first: 1) {{ nodes {{ ...F{level + 1} }} }} }} }}"
        for level in range(levels)
    )
    return f"query ($id: ID!) {{ store(id: $id) {{ ...F0 }} }} {fragments} fragment F{levels} on Store {{ id }}"


def meter_of(query: str) -> Meter:
    operation, *fragments = parse(query).definitions
    assert isinstance(operation, OperationDefinitionNode)
    named = {node.name.value: node for node in fragments if isinstance(node, FragmentDefinitionNode)}
    return Meter(graphql_schema(schema), operation, named)


def cost_of(query: str) -> int:
    """Return what an operation costs, however large its document is."""
    return meter_of(query).of({"id": "Store_x"}).points


def test_the_cost_that_is_kept_is_that_of_the_same_variables() -> None:
    meter = meter_of("mutation ($input: DeleteStoreInput!) { deleteStore(input: $input) { __typename } }")
    costs = [meter.of({"input": {"id": id}}).points for id in ("Store_x", ["Store_x"], "Store_x")]
    assert costs == [1_700, 1_702, 1_700]


def test_lists_within_pages_within_lists_are_those_of_others() -> None:
    orders = "store { orders(first: 2) { nodes { items { id } } } }"

    assert cost_of(f"{{ orders(first: 1) {{ nodes {{ storeOrders {{ {orders} }} }} }} }}") == 1 + 15 * (2 + 2 + 2 * 15)


def test_what_fragments_multiply_is_counted() -> None:
    # Each level has two owners with a store each.
    assert cost_of(doubling(3)) == 1 + (2 + 2) + (4 + 4) + (8 + 8)


def test_fragments_within_fragments_are_not_counted_forever() -> None:
    assert cost_of(doubling(20)) == MOST
