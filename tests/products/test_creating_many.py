"""Adding up to a thousand products at once, all of them or none."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from app.db.models import Store, User
from tests.api import Api
from tests.market import Market, gid
from tests.products.catalogue import names
from tests.products.changes import CREATE_MANY, IN_BATCH, PRODUCT, create_many
from tests.statements import Statements


def new(number: int, **values: Any) -> dict[str, Any]:
    return {"name": f"Product {number:04}", "price": "1", **values}


def _differing(number: int) -> dict[str, Any]:
    """Return a product that lacks other fields than the one before."""
    return new(number, **({"stock": number} if number % 2 else {"description": "Of oak."}))


async def test_new_products_are_answered_whole_and_in_their_order(api: Api, store: Store, owner: User) -> None:
    products = [{"name": "Lamp", "price": 5}, {"name": "Chair", "price": "9.9", "description": "Of oak.", "stock": 2}]

    input = {"storeId": gid(store), "products": products}
    created = (await api.data(CREATE_MANY.replace(IN_BATCH, PRODUCT), {"input": input}, user=owner))["createProducts"]

    assert created["__typename"] == "CreateProductsSuccess"
    assert [
        {key: product[key] for key in ("name", "price", "description", "stock", "version", "store")}
        for product in created["products"]
    ] == [
        {
            "name": "Lamp",
            "price": {"amount": "5.00", "currency": "SEK"},
            "description": None,
            "stock": None,
            "version": 1,
            "store": {"id": gid(store)},
        },
        {
            "name": "Chair",
            "price": {"amount": "9.90", "currency": "SEK"},
            "description": "Of oak.",
            "stock": 2,
            "version": 1,
            "store": {"id": gid(store)},
        },
    ]
    assert await names(api) == ["Lamp", "Chair"]


async def test_a_thousand_products_take_as_many_statements_as_one(
    api: Api, store: Store, owner: User, statements: Statements
) -> None:
    await create_many(api, owner, gid(store), [new(0)])
    for_one = len(statements)
    statements.clear()

    created = await create_many(api, owner, gid(store), [_differing(number) for number in range(1, 1001)])

    assert [product["name"] for product in created["products"]] == [f"Product {n:04}" for n in range(1, 1001)]
    assert len({product["id"] for product in created["products"]}) == 1000
    assert len(statements) == for_one <= 6


@pytest.mark.parametrize(
    ("count", "code", "message"),
    [(0, "TOO_FEW", "must have 1 or more items"), (1001, "TOO_MANY", "must have at most 1,000 items")],
)
async def test_none_and_more_than_a_thousand_are_refused(
    api: Api, store: Store, owner: User, count: int, code: str, message: str
) -> None:
    refused = await create_many(api, owner, gid(store), [new(number) for number in range(count)])

    assert refused["__typename"] == "InvalidInput"
    assert refused["issues"] == [{"path": ["input", "products"], "code": code, "message": message}]
    assert await names(api) == []


async def test_every_wrong_field_is_named_with_its_index_and_nothing_is_added(
    api: Api, store: Store, owner: User
) -> None:
    products = [new(number) for number in range(9)]
    products[2] |= {"name": "", "stock": -1}
    products[7] |= {"price": "0.001"}

    refused = await create_many(api, owner, gid(store), products)

    assert refused["__typename"] == "InvalidInput"
    assert [(issue["path"], issue["code"]) for issue in refused["issues"]] == [
        (["input", "products", "2", "name"], "EMPTY"),
        (["input", "products", "2", "stock"], "TOO_SMALL"),
        (["input", "products", "7", "price"], "TOO_MANY_DECIMALS"),
    ]
    assert await names(api) == []


async def test_a_name_that_the_store_has_is_a_conflict_at_its_index_and_nothing_is_added(
    api: Api, market: Market, store: Store, owner: User
) -> None:
    await market.product(store, name="Lamp")

    refused = await create_many(api, owner, gid(store), [new(0), new(1), new(2, name=" Lamp")])

    assert refused["__typename"] == "Conflict"
    assert (refused["path"], refused["code"]) == (["input", "products", "2", "name"], "PRODUCT_NAME_TAKEN")
    assert await names(api) == ["Lamp"]


async def test_a_name_twice_in_the_list_is_named_at_each_repetition_and_nothing_is_added(
    api: Api, store: Store, owner: User
) -> None:
    products = [new(0, name=name) for name in ("Lamp", "Chair", "Lamp ", "Lamp", "lamp")]

    refused = await create_many(api, owner, gid(store), products)

    assert refused["__typename"] == "InvalidInput"
    assert [(issue["path"], issue["code"]) for issue in refused["issues"]] == [
        (["input", "products", "2", "name"], "NOT_UNIQUE"),
        (["input", "products", "3", "name"], "NOT_UNIQUE"),
    ]
    assert await names(api) == []


async def test_a_name_is_free_in_another_store_and_after_a_deletion(
    api: Api, market: Market, store: Store, owner: User
) -> None:
    await market.product(name="Lamp")
    await market.product(store, name="Lamp", deleted_at=datetime.now(UTC))

    created = await create_many(api, owner, gid(store), [new(0, name="Lamp")])

    assert created["__typename"] == "CreateProductsSuccess"


async def test_a_store_that_is_not_there_is_not_found(api: Api, owner: User) -> None:
    missing = f"Store_{uuid4()}"

    refused = await create_many(api, owner, missing, [new(0)])

    assert (refused["__typename"], refused["missingId"]) == ("NotFound", missing)


async def test_a_price_that_is_no_exact_number_is_refused_with_its_place(api: Api, store: Store, owner: User) -> None:
    input = {"storeId": gid(store), "products": [new(0), new(1, price=1.5)]}

    error = await api.error(CREATE_MANY, {"input": input}, user=owner)

    assert error["code"] == "BAD_USER_INPUT"
    assert "products[1].price" in error["message"]
