"""What a mutation returns is read in one statement, and is what a query would answer then."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import httpx2
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.models import Order, Product, Store, StoreOrder, User
from app.db.unit_of_work import UnitOfWork
from app.graphql.context import Context
from app.graphql.operations.payloads import asked_of
from app.main import create_app
from app.replicas.tokens import HEADER as CONSISTENCY_TOKEN
from app.settings import Settings
from tests.api import Api
from tests.databases import SingleConnection
from tests.market import Market, gid
from tests.orders.operations import number_of
from tests.paths import UNLIMITED
from tests.statements import Statements

ORDER = """
  id number status placedAt totals { amount currency } customer { email orders { totalCount } }
  items { quantity unitPrice { amount } lineTotal { amount } product { name stock version store { name city } } }
  storeOrders { id number status total { amount currency } store { name } items { productName } }
"""
PART = """
  id number status customerName note shippingAddress { recipient lines } total { amount currency } declineReason
  store { name orders { totalCount } } items { quantity productName product { name stock } }
"""
PRODUCT = "id name version price { amount } store { name products(first: 1) { nodes { name } totalCount } }"
STORE = (
    "id name products(first: 2, orderBy: { field: PRICE }) { edges { cursor node { name } } pageInfo { endCursor } }"
)
USER = "id email fullName stores { nodes { name } } orders { nodes { id items { quantity } } }"
PLACE = "placeOrder(input: { items: [{ productId: $product, quantity: 2 }, { productId: $other, quantity: 1 }] })"
CANCEL = "cancelOrder(input: { id: $order })"
MUTATIONS = {
    "placeOrder": ("customer", "Order", ORDER, PLACE),
    "cancelOrder": ("customer", "Order", ORDER, CANCEL),
    "fulfillStoreOrder": ("owner", "StoreOrder", PART, "fulfillStoreOrder(input: { id: $part })"),
    "declineStoreOrder": (
        "owner",
        "StoreOrder",
        PART,
        'declineStoreOrder(input: { id: $part, reason: "Sold \\"out\\"" })',
    ),
    "adjustStock": ("owner", "Product", PRODUCT, "adjustStock(input: { productId: $product, delta: 5 })"),
    "setStock": ("owner", "Product", PRODUCT, "setStock(input: { productId: $product, stock: null })"),
    "updateProduct": ("owner", "Product", PRODUCT, 'updateProduct(input: { id: $product, name: "Brød", price: 3 })'),
    "deleteProduct": ("owner", "Product", PRODUCT, "deleteProduct(input: { id: $product })"),
    "createProduct": (
        "owner",
        "Product",
        PRODUCT,
        'createProduct(input: { storeId: $store, name: "A \\"new\\" \\\\ one", price: 1 })',
    ),
    "updateStore": ("owner", "Store", STORE, 'updateStore(input: { id: $store, name: "Renamed" })'),
    "deleteStore": ("superuser", "Store", STORE, "deleteStore(input: { id: $store })"),
    "updateUser": ("owner", "User", USER, 'updateUser(input: { id: $user, fullName: "Somebody Else" })'),
}


@dataclass
class Shop:
    """A customer's order of products of two stores, one of them the owner's, and who may change what."""

    users: dict[str, User]
    store: Store
    product: Product
    other: Product
    order: Order
    part: StoreOrder

    def variables(self, user: str) -> dict[str, str]:
        """The ids that the mutations are about."""
        about = {"store": self.store, "product": self.product, "other": self.other, "order": self.order}
        about |= {"part": self.part}
        return {name: gid(row) for name, row in {**about, "user": self.users[user]}.items()}


@pytest.fixture
async def shop(market: Market) -> Shop:
    users = {name: await market.user() for name in ("customer", "owner")}
    users["superuser"] = await market.user(is_superuser=True)
    store = await market.store(users["owner"], name="Bakery")
    product = await market.product(store, name="Bread", stock=9)
    other = await market.product(name="Milk")
    order = await market.order(
        users["customer"], product, other, note="Ring twice", recipient="Ada", address_lines=["B"]
    )
    return Shop(users, store, product, other, order, await market.store_order(order, store))


@pytest.fixture
async def compiled(connection: AsyncConnection, settings: Settings) -> AsyncIterator[Api]:
    """The application with the compiled path, in the transaction of the test."""
    async with opened(connection, settings) as api:
        yield api


@pytest.fixture
async def unlimited(connection: AsyncConnection, settings: Settings) -> AsyncIterator[Api]:
    """The same, whatever the operations cost."""
    async with opened(connection, settings, **UNLIMITED) as api:
        yield api


@asynccontextmanager
async def opened(connection: AsyncConnection, settings: Settings, **changed: Any) -> AsyncIterator[Api]:
    app = create_app(settings.model_copy(update={**changed, "compiled_path": True}), SingleConnection(connection))
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://test") as client:
        yield Api(client, settings)


def document(field: str, selection: str) -> str:
    """Return a mutation of one root field, which selects this of its success."""
    declared = ", ".join(
        f"${name}: ID!" for name in ("store", "product", "other", "order", "part", "user") if f"${name}" in field
    )
    success = success_of(field)
    return f"mutation ({declared}) {{ done: {field} {{ __typename ... on {success} {{ {selection} }} }} }}"


def key_of(type_name: str) -> str:
    """Return the field of a success that is an object of this type."""
    return type_name[0].lower() + type_name[1:]


def success_of(field: str) -> str:
    """Return the type of the success of a root field."""
    name = field.partition("(")[0]
    return f"{name[0].upper()}{name[1:]}Success"


@pytest.mark.parametrize("name", MUTATIONS)
async def test_the_payload_is_what_a_query_answers_then(
    compiled: Api, api: Api, shop: Shop, statements: Statements, name: str
) -> None:
    who, type_name, selection, field = MUTATIONS[name]
    user = shop.users[who]
    variables = shop.variables(who)
    key = key_of(type_name)

    done = (await compiled.data(document(field, f"{key} {{ {selection} }}"), variables, user=user))["done"]

    payload = [statement for statement in statements if "AS text" in statement]
    assert len(payload) == 1
    assert done.pop("__typename") == success_of(field)
    query = f"query ($id: ID!) {{ node(id: $id) {{ ... on {type_name} {{ {selection} }} }} }}"
    assert (await api.data(query, {"id": done[key]["id"]}, user=user))["node"] == done[key]


# Those whose list has the object, in the default order.
EDGES = {
    "placeOrder": ("orders", "orderEdge"),
    "cancelOrder": ("orders", "orderEdge"),
    "fulfillStoreOrder": ("orders", "storeOrderEdge"),
    "declineStoreOrder": ("orders", "storeOrderEdge"),
    "adjustStock": ("products", "productEdge"),
    "setStock": ("products", "productEdge"),
    "updateProduct": ("products", "productEdge"),
    "createProduct": ("products", "productEdge"),
    "updateStore": ("stores", "storeEdge"),
    "updateUser": ("users", "userEdge"),
}


@pytest.mark.parametrize("name", EDGES)
async def test_the_edge_is_the_one_that_the_list_has(
    compiled: Api, api: Api, shop: Shop, statements: Statements, name: str
) -> None:
    who, type_name, selection, field = MUTATIONS[name]
    plural, edge = EDGES[name]
    user, variables = shop.users[who], shop.variables(who)
    selected = f"{edge} {{ cursor node {{ {selection} }} }} {key_of(type_name)} {{ {selection} }}"

    done = (await compiled.data(document(field, selected), variables, user=user))["done"]

    assert len([statement for statement in statements if "AS text" in statement]) == 1
    assert done[edge]["node"] == done[key_of(type_name)]
    viewer = shop.users["superuser"] if plural == "users" else user
    listed = f"{plural} {{ edges {{ cursor node {{ id }} }} }}"
    if type_name == "StoreOrder":
        shown = (await api.data(f'{{ list: store(id: "{gid(shop.store)}") {{ {listed} }} }}', user=viewer))["list"]
    else:
        shown = await api.data(f"{{ {listed} }}", user=viewer)
    edges = shown[plural]["edges"]
    assert {"cursor": done[edge]["cursor"], "node": {"id": done[edge]["node"]["id"]}} in edges


# The ids of what is new are others each time.
@pytest.mark.parametrize("name", [name for name in MUTATIONS if name not in ("placeOrder", "createProduct")])
async def test_both_paths_return_the_same(
    compiled: Api, api: Api, shop: Shop, connection: AsyncConnection, name: str
) -> None:
    who, type_name, selection, field = MUTATIONS[name]
    edge = f"edge: {EDGES[name][1]} {{ __typename cursor node {{ {selection} }} }}" if name in EDGES else ""
    query = document(field, f"{key_of(type_name)} {{ __typename {selection} }} {edge}")
    answers = []
    for each in (compiled, api):
        undone = await connection.begin_nested()
        response = await each.send(query, shop.variables(who), user=shop.users[who])
        answers.append(response.content.replace(response.headers[CONSISTENCY_TOKEN].encode(), b"token"))
        await undone.rollback()

    assert answers[0] == answers[1]
    assert b'"errors"' not in answers[0]


@pytest.mark.parametrize(
    "selection",
    ["order { id status placedAt }", "orderEdge { cursor node { __typename id } __typename } order { status }"],
)
async def test_attributes_alone_are_not_read_again(
    compiled: Api, shop: Shop, statements: Statements, selection: str
) -> None:
    field = document(CANCEL, selection)

    data = await compiled.data(field, shop.variables("customer"), user=shop.users["customer"])

    assert data["done"]["order"]["status"] == "CANCELLED"
    assert not [statement for statement in statements if "AS text" in statement]


async def test_an_order_is_placed_and_read_in_two_statements(compiled: Api, shop: Shop, statements: Statements) -> None:
    selection = "order { id items { quantity product { name store { name } } } } orderEdge { cursor node { id } }"

    statements.clear()
    await compiled.data(document(PLACE, selection), shop.variables("customer"), user=shop.users["customer"])

    assert len(statements) == 2


async def test_each_field_reads_what_stands_then(compiled: Api, shop: Shop) -> None:
    mutation = """
    mutation ($id: ID!, $first: Int, $with: Boolean!) {
      one: updateProduct(input: { id: $id, price: 5 }) { ...P }
      two: updateProduct(input: { id: $id, price: 6 }) { ...P }
      no: updateProduct(input: { id: $id, expectedVersion: 1 }) {
        ...P
        ... on StaleVersion { currentVersion current { ... on Product { version store @include(if: $with) { ...S } } } }
      }
    }
    fragment P on UpdateProductSuccess {
      product { price { amount } version store @include(if: $with) { ...S } }
    }
    fragment S on Store { products(first: $first) { nodes { version } } }
    """
    for first, with_store, version in ((1, True, 2), (0, True, 4), (1, False, 6)):
        variables = {"id": gid(shop.product), "first": first, "with": with_store}

        data = await compiled.data(mutation, variables, user=shop.users["owner"])

        one, two, current = data["one"]["product"], data["two"]["product"], data["no"].pop("current")
        assert [product["price"]["amount"] for product in (one, two)] == ["5.00", "6.00"]
        assert [product["version"] for product in (one, two, current)] == [version, version + 1, version + 1]
        assert data["no"] == {"currentVersion": version + 1}
        nodes = [product.get("store", {"products": None})["products"] for product in (one, two, current)]
        versions = (version, version + 1, version + 1)
        expected = [{"nodes": [{"version": each}][:first]} for each in versions] if with_store else [None] * 3
        assert nodes == expected


async def test_arguments_that_are_refused_below_a_field_leave_what_it_did(
    unlimited: Api, shop: Shop, connection: AsyncConnection
) -> None:
    selection = "order { items { product { store { products(first: 101) { totalCount } } } } }"

    result = await unlimited.execute(
        document(PLACE, selection), shop.variables("customer"), user=shop.users["customer"]
    )

    assert result["data"] == {"done": {"__typename": "PlaceOrderSuccess", "order": None}}
    codes = {(error["extensions"]["code"], error["extensions"]["cause"]) for error in result["errors"]}
    assert codes == {("PAYLOAD_UNREADABLE", "BAD_USER_INPUT")}
    assert await number_of(connection, Order) == 2


async def test_a_statement_of_a_payload_that_fails_undoes_its_field_alone(
    compiled: Api, shop: Shop, connection: AsyncConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Postgres commits nothing of what a statement has failed in; so the field is null, and has done nothing."""
    read, broken = UnitOfWork.driver_row, ["SELECT 1/0"]

    async def fail_once(work: UnitOfWork, sql: str, parameters: Any) -> Any:
        return await read(work, broken.pop(), []) if "AS text" in sql and broken else await read(work, sql, parameters)

    monkeypatch.setattr(UnitOfWork, "driver_row", fail_once)
    mutation = f"""
    mutation ($product: ID!, $other: ID!) {{
      first: {PLACE} {{ __typename ... on PlaceOrderSuccess {{ order {{ id items {{ quantity }} }} }} }}
      second: {PLACE} {{ __typename ... on PlaceOrderSuccess {{ order {{ customer {{ id }} }} }} }}
    }}
    """
    variables = {name: shop.variables("customer")[name] for name in ("product", "other")}

    result = await compiled.execute(mutation, variables, user=shop.users["customer"])

    customer = {"id": gid(shop.users["customer"])}
    assert result["data"]["first"] is None
    assert result["data"]["second"] == {"__typename": "PlaceOrderSuccess", "order": {"customer": customer}}
    (error,) = result["errors"]
    assert (error["path"], error["extensions"]["code"]) == (["first"], "INTERNAL_SERVER_ERROR")
    assert await number_of(connection, Order) == 2


BATCH = """
mutation ($input: CreateProductsInput!, $with: Boolean! = true, $first: Int) {
  createProducts(input: $input) {
    __typename
    ... on CreateProductsSuccess { added: products { ...P } products { id } productEdges { cursor node { id } } }
    ... on InvalidInput { issues { path } }
  }
}
fragment P on Product {
  __typename id name price { amount currency } stock version description
  store @include(if: $with) { name currency products(first: $first) { totalCount } }
}
"""


def batch(store: Store, number: int) -> dict[str, Any]:
    products = [{"name": f"No. {each}", "price": str(each), "stock": each} for each in range(number)]
    return {"input": {"storeId": gid(store), "products": products}}


@pytest.mark.parametrize("number", [1, 2, 1_000])
async def test_a_list_in_a_payload_is_one_statement_in_the_order_of_the_input(
    unlimited: Api, shop: Shop, statements: Statements, number: int
) -> None:
    statements.clear()
    data = await unlimited.data(BATCH, batch(shop.store, number), user=shop.users["owner"])

    done = data["createProducts"]
    assert len([statement for statement in statements if "AS text" in statement]) == 2
    assert [edge["node"] for edge in done["productEdges"]] == done["products"]
    assert [product["name"] for product in done["added"]] == [f"No. {each}" for each in range(number)]
    assert [product["stock"] for product in done["added"]] == [*range(number)]
    assert [product["id"] for product in done["added"]] == [product["id"] for product in done["products"]]
    assert {product["store"]["products"]["totalCount"] for product in done["added"]} == {number + 1}


@pytest.mark.parametrize("variables", [{}, {"with": False}, {"first": 0}])
async def test_a_list_in_a_payload_is_what_the_resolvers_answer(
    compiled: Api, api: Api, shop: Shop, variables: dict[str, Any]
) -> None:
    sent = {**batch(shop.store, 3), **variables}
    answers = []
    for each in (compiled, api):
        done = (await each.data(BATCH, sent, user=shop.users["owner"]))["createProducts"]
        for product in done["added"]:
            await each.data(
                "mutation ($id: ID!) { deleteProduct(input: { id: $id }) { __typename } }",
                {"id": product.pop("id")},
                user=shop.users["owner"],
            )
        answers.append(done["added"])

    assert answers[0] == answers[1]


async def test_a_list_that_the_compiler_declines_is_read_by_the_resolvers(
    compiled: Api, shop: Shop, statements: Statements
) -> None:
    sent = {**batch(shop.store, 2), "first": 101}

    result = await compiled.execute(BATCH, sent, user=shop.users["owner"])

    done = result["data"]["createProducts"]
    assert (done["__typename"], done["added"], len(done["products"])) == ("CreateProductsSuccess", None, 2)
    (error,) = result["errors"]
    assert error["path"][:3] == ["createProducts", "added", 0]
    assert error["extensions"]["cause"] == "BAD_USER_INPUT"
    assert len([statement for statement in statements if "AS text" in statement]) == 1  # the other list's


async def test_a_failure_is_told_as_ever(compiled: Api, api: Api, shop: Shop) -> None:
    field = "placeOrder(input: { items: [{ productId: $product, quantity: 10 }] })"
    selection = (
        "order { items { quantity } } } ... on InsufficientStock { message shortages { requested product { name } }"
    )

    answers = [
        await each.data(document(field, selection), shop.variables("customer"), user=shop.users["customer"])
        for each in (compiled, api)
    ]

    assert answers[0] == answers[1]
    assert answers[0]["done"]["shortages"] == [{"requested": 10, "product": {"name": "Bread"}}]


async def test_a_repeated_request_has_the_same_bytes(compiled: Api, shop: Shop) -> None:
    responses = [
        await compiled.send(
            document(PLACE, f"order {{ {ORDER} }} orderEdge {{ cursor }}"),
            {name: shop.variables("customer")[name] for name in ("product", "other")},
            user=shop.users["customer"],
            headers={"Idempotency-Key": "the-same-order"},
        )
        for _ in range(2)
    ]

    assert responses[0].content == responses[1].content
    assert [response.headers.get("Idempotency-Replayed") for response in responses] == [None, "true"]


async def test_an_input_is_read_only_if_the_viewer_may_send_one(compiled: Api, api: Api) -> None:
    query = 'mutation { createProduct(input: { storeId: "x", name: "", price: 1 }) { __typename } }'
    for each in (compiled, api):
        assert (await each.error(query))["code"] == "UNAUTHENTICATED"


async def test_what_is_known_of_merged_selections_is_limited(compiled: Api) -> None:
    """Conditions merge any of the root fields with one key: 65,536 combinations of sixteen."""
    names = [f"v{number}" for number in range(9)]
    selected = "{ ... on DeleteProductSuccess { product { store { name } } } }"
    field = f"deleteProduct(input: {{ id: $id }}) @include(if: $%s) {selected}"
    declared = " ".join(f"${name}: Boolean!" for name in names)
    query = f"mutation ($id: ID!, {declared}) {{ {' '.join(field % name for name in names)} }}"
    operations = set()

    def noted(context: Context, field: Any, details: Any) -> Any:
        operations.add(context.operation)
        return asked_of(context, field, details)

    with patch("app.graphql.operations.resolver_path.asked_of", noted):
        for number in range(1, 2 ** len(names)):
            included = {name: bool(number >> place & 1) for place, name in enumerate(names)}
            await compiled.error(query, {"id": "Product_x", **included})
    (operation,) = operations
    assert len(operation.reads) <= 210
    assert len(operation.selections) <= 210
