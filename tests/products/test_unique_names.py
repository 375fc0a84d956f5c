"""Names that look the same are the same, in a store and among the stores of an owner."""

import unicodedata
from typing import Any

import pytest

from app.db.models import Store, User
from tests.api import Api
from tests.market import Market, gid
from tests.products.changes import create, update
from tests.stores import operations as stores

NAME = "Café crème 5"
ALIKE = {
    "decomposed": unicodedata.normalize("NFD", NAME),
    "with spaces that don't break": NAME.replace(" ", "\u00a0"),
    "with narrow spaces": NAME.replace(" ", "\u202f"),
    "with characters of no width": "\u2060Caf\u00adé\u200b crème\u200d 5\ufeff",
}


@pytest.fixture
async def owner(market: Market) -> User:
    return await market.user()


@pytest.fixture
async def store(market: Market, owner: User) -> Store:
    return await market.store(owner, name=NAME)


@pytest.mark.parametrize("name", ALIKE.values(), ids=ALIKE)
async def test_a_name_is_taken_by_one_that_looks_the_same(
    api: Api, market: Market, owner: User, store: Store, name: str
) -> None:
    product, other = await market.product(store, name=NAME), await market.product(store)
    new = {"name": name, "price": "1"}

    refused: list[Any] = [
        await create(api, owner, storeId=gid(store), **new),
        await update(api, owner, id=gid(other), name=name),
        await stores.create(api, owner, name=name),
    ]
    renamed = await update(api, owner, id=gid(product), name=name)

    assert [answer.get("code") for answer in refused] == [
        "PRODUCT_NAME_TAKEN",
        "PRODUCT_NAME_TAKEN",
        "STORE_NAME_TAKEN",
    ]
    assert renamed["__typename"] == "UpdateProductSuccess"


CREATE_MANY = """
mutation ($store: ID!, $products: [NewProductInput!]!) {
  createProducts(input: { storeId: $store, products: $products }) {
    __typename ... on Conflict { path code } ... on InvalidInput { issues { path code } }
  }
}
"""
SWAP = """
mutation ($products: [UpdateProductInput!]!) {
  updateProducts(input: { products: $products }) { __typename ... on UpdateProductsSuccess { products { name } } }
}
"""


@pytest.mark.parametrize("name", ALIKE.values(), ids=ALIKE)
async def test_so_it_is_among_many(api: Api, market: Market, owner: User, store: Store, name: str) -> None:
    async def created(*names: str) -> Any:
        variables = {"store": gid(store), "products": [{"name": name, "price": "1"} for name in names]}
        return (await api.data(CREATE_MANY, variables, user=owner))["createProducts"]

    repeated = await created(NAME, name)
    await market.product(store, name=NAME)
    taken = await created("Another", name)

    path = ["input", "products", "1", "name"]
    assert repeated == {"__typename": "InvalidInput", "issues": [{"path": path, "code": "NOT_UNIQUE"}]}
    assert taken == {"__typename": "Conflict", "path": path, "code": "PRODUCT_NAME_TAKEN"}


async def test_products_may_pass_on_names_that_look_the_same(
    api: Api, market: Market, owner: User, store: Store
) -> None:
    one, other = await market.product(store, name="A B"), await market.product(store, name="C D")
    renamed = [{"id": gid(one), "name": "C\u00a0D"}, {"id": gid(other), "name": "A\u00a0B"}]

    answer = await api.data(SWAP, {"products": renamed}, user=owner)

    assert answer["updateProducts"]["products"] == [{"name": "C\u00a0D"}, {"name": "A\u00a0B"}]


async def test_case_and_accents_still_tell_names_apart(api: Api, market: Market, owner: User, store: Store) -> None:
    await market.product(store, name=NAME)

    for name in (NAME.upper(), "Cafe creme 5", "Cafécrème 5"):
        answer = await create(api, owner, storeId=gid(store), name=name, price="1")
        assert answer["__typename"] == "CreateProductSuccess"
