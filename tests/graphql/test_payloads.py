"""What a mutation returns is read in one statement, and is what a query would answer then."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.models import Order, Product, Store, User
from app.main import create_app
from app.settings import Settings
from tests.api import Api
from tests.databases import SingleConnection
from tests.market import Market, gid
from tests.orders.operations import number_of
from tests.statements import Statements

ORDER = """
  id status date totals { amount currency } customer { email orders { totalCount } }
  items { quantity unitPrice { amount } lineTotal { amount } product { name stock version store { name city } } }
"""
PRODUCT = "id name version price { amount } store { name products(first: 1) { nodes { name } totalCount } }"
STORE = (
    "id name products(first: 2, orderBy: { field: PRICE }) { edges { cursor node { name } } pageInfo { endCursor } }"
)
USER = "id email fullName stores { nodes { name } } orders { nodes { id items { quantity } } }"
PLACE = "placeOrder(input: { items: [{ productId: $product, quantity: 2 }, { productId: $other, quantity: 1 }] })"
MUTATIONS = {
    "placeOrder": ("customer", "Order", ORDER, PLACE),
    "cancelOrder": ("customer", "Order", ORDER, "cancelOrder(id: $order)"),
    "fulfillOrderItems": (
        "owner",
        "Order",
        ORDER,
        "fulfillOrderItems(input: { orderId: $order, productIds: [$product] })",
    ),
    "updateProduct": ("owner", "Product", PRODUCT, 'updateProduct(input: { id: $product, name: "Brød", price: 3 })'),
    "deleteProduct": ("owner", "Product", PRODUCT, "deleteProduct(id: $product)"),
    "createProduct": (
        "owner",
        "Product",
        PRODUCT,
        'createProduct(input: { storeId: $store, name: "A \\"new\\" \\\\ one", price: 1 })',
    ),
    "updateStore": ("owner", "Store", STORE, 'updateStore(input: { id: $store, name: "Renamed" })'),
    "deleteStore": ("superuser", "Store", STORE, "deleteStore(id: $store)"),
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

    def variables(self, user: str) -> dict[str, str]:
        """The ids that the mutations are about."""
        about = {"store": self.store, "product": self.product, "other": self.other, "order": self.order}
        return {name: gid(row) for name, row in {**about, "user": self.users[user]}.items()}


@pytest.fixture
async def shop(market: Market) -> Shop:
    users = {name: await market.user() for name in ("customer", "owner")}
    users["superuser"] = await market.user(is_superuser=True)
    store = await market.store(users["owner"], name="Bakery")
    product = await market.product(store, name="Bread", stock=9)
    other = await market.product(name="Milk")
    order = await market.order(users["customer"], product, other)
    return Shop(users, store, product, other, order)


@pytest.fixture
async def compiled(connection: AsyncConnection, settings: Settings) -> AsyncIterator[Api]:
    """The application with the compiled path, in the transaction of the test."""
    app = create_app(settings.model_copy(update={"compiled_path": True}), SingleConnection(connection))
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://test") as client:
        yield Api(client, settings)


def document(field: str, type_name: str, selection: str) -> str:
    """Return a mutation of one root field."""
    declared = ", ".join(
        f"${name}: ID!" for name in ("store", "product", "other", "order", "user") if f"${name}" in field
    )
    return f"mutation ({declared}) {{ done: {field} {{ __typename ... on {type_name} {{ {selection} }} }} }}"


@pytest.mark.parametrize("name", MUTATIONS)
async def test_the_payload_is_what_a_query_answers_then(
    compiled: Api, api: Api, shop: Shop, statements: Statements, name: str
) -> None:
    who, type_name, selection, field = MUTATIONS[name]
    user = shop.users[who]
    variables = shop.variables(who)

    done = (await compiled.data(document(field, type_name, selection), variables, user=user))["done"]

    payload = [statement for statement in statements if "AS text" in statement]
    assert len(payload) == 1
    assert done.pop("__typename") == type_name
    query = f"query ($id: ID!) {{ node(id: $id) {{ ... on {type_name} {{ {selection} }} }} }}"
    assert (await api.data(query, {"id": done["id"]}, user=user))["node"] == done


async def test_attributes_alone_are_not_read_again(compiled: Api, shop: Shop, statements: Statements) -> None:
    field = document("cancelOrder(id: $order)", "Order", "id status date")

    data = await compiled.data(field, shop.variables("customer"), user=shop.users["customer"])

    assert data["done"]["status"] == "CANCELLED"
    assert not [statement for statement in statements if "AS text" in statement]


async def test_an_order_is_placed_and_read_in_three_statements(
    compiled: Api, shop: Shop, statements: Statements
) -> None:
    selection = "id items { quantity product { name store { name } } }"

    statements.clear()
    await compiled.data(document(PLACE, "Order", selection), shop.variables("customer"), user=shop.users["customer"])

    assert len(statements) == 3


async def test_each_field_reads_what_stands_then(compiled: Api, shop: Shop) -> None:
    mutation = """
    mutation ($id: ID!, $first: Int, $with: Boolean!) {
      one: updateProduct(input: { id: $id, price: 5 }) { ...P }
      two: updateProduct(input: { id: $id, price: 6 }) { ...P }
      no: updateProduct(input: { id: $id, expectedVersion: 1 }) { ...P ... on StaleVersion { currentVersion } }
    }
    fragment P on Product { price { amount } version store @include(if: $with) { ...S } }
    fragment S on Store { products(first: $first) { nodes { version } } }
    """
    for first, with_store, version in ((1, True, 2), (0, True, 4), (1, False, 6)):
        variables = {"id": gid(shop.product), "first": first, "with": with_store}

        data = await compiled.data(mutation, variables, user=shop.users["owner"])

        assert [data[key]["price"]["amount"] for key in ("one", "two")] == ["5.00", "6.00"]
        assert [data[key]["version"] for key in ("one", "two")] == [version, version + 1]
        assert data["no"] == {"currentVersion": version + 1}
        nodes = [data[key].get("store", {"products": None})["products"] for key in ("one", "two")]
        expected = [{"nodes": [{"version": version + step}][:first]} for step in (0, 1)] if with_store else [None, None]
        assert nodes == expected


async def test_arguments_that_are_refused_undo_the_mutation(
    compiled: Api, shop: Shop, connection: AsyncConnection
) -> None:
    selection = "items { product { store { products(first: 101) { totalCount } } } }"

    error = await compiled.error(
        document(PLACE, "Order", selection), shop.variables("customer"), user=shop.users["customer"]
    )

    assert error["code"] == "BAD_USER_INPUT"
    assert await number_of(connection, Order) == 1


BATCH = """
mutation ($input: CreateProductsInput!, $with: Boolean! = true, $first: Int) {
  createProducts(input: $input) {
    __typename
    ... on ProductBatch { added: products { ...P } products { id } }
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
    compiled: Api, shop: Shop, statements: Statements, number: int
) -> None:
    statements.clear()
    data = await compiled.data(BATCH, batch(shop.store, number), user=shop.users["owner"])

    done = data["createProducts"]
    assert len([statement for statement in statements if "AS text" in statement]) == 2
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
                "mutation ($id: ID!) { deleteProduct(id: $id) { __typename } }",
                {"id": product.pop("id")},
                user=shop.users["owner"],
            )
        answers.append(done["added"])

    assert answers[0] == answers[1]


async def test_a_list_that_the_compiler_declines_is_read_by_the_resolvers(
    compiled: Api, shop: Shop, statements: Statements
) -> None:
    sent = {**batch(shop.store, 2), "first": 101}

    error = await compiled.error(BATCH, sent, user=shop.users["owner"])

    assert (error["code"], error["path"][:3]) == ("BAD_USER_INPUT", ["createProducts", "added", 0])
    assert len([statement for statement in statements if "AS text" in statement]) == 1  # the other list's


async def test_a_failure_is_told_as_ever(compiled: Api, api: Api, shop: Shop) -> None:
    field = "placeOrder(input: { items: [{ productId: $product, quantity: 10 }] })"
    selection = "items { quantity } } ... on InsufficientStock { message shortages { requested product { name } }"

    answers = [
        await each.data(document(field, "Order", selection), shop.variables("customer"), user=shop.users["customer"])
        for each in (compiled, api)
    ]

    assert answers[0] == answers[1]
    assert answers[0]["done"]["shortages"] == [{"requested": 10, "product": {"name": "Bread"}}]


async def test_a_repeated_request_has_the_same_bytes(compiled: Api, shop: Shop) -> None:
    responses = [
        await compiled.send(
            document(PLACE, "Order", ORDER),
            {name: shop.variables("customer")[name] for name in ("product", "other")},
            user=shop.users["customer"],
            headers={"Idempotency-Key": "the-same-order"},
        )
        for _ in range(2)
    ]

    assert responses[0].content == responses[1].content
    assert [response.headers.get("Idempotency-Replayed") for response in responses] == [None, "true"]
