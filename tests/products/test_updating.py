"""Changing a product: what is given changes, what is left out stays."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from app.db.models import Product, Store, User
from tests.api import Api
from tests.market import Market, gid
from tests.orders.operations import item, place
from tests.products.changes import UPDATE, adjust_stock, update

READ = "query ($id: ID!) { product(id: $id) { name description price { amount } stock version } }"


@pytest.fixture
async def lamp(market: Market, store: Store) -> Product:
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    return await market.product(
        store, name="Lamp", description="Of brass.", price=Decimal("12.50"), stock=3, updated_at=long_ago
    )


async def read(api: Api, product: Product) -> dict[str, Any]:
    """Return the product as everyone sees it now."""
    data = await api.data(READ, {"id": gid(product)})
    product_now: dict[str, Any] = data["product"]
    return product_now


AS_IT_WAS = {"name": "Lamp", "description": "Of brass.", "price": {"amount": "12.50"}, "stock": 3, "version": 1}


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"name": "Torch"}, {"name": "Torch"}),
        ({"name": " Torch "}, {"name": "Torch"}),
        ({"price": "7.5"}, {"price": {"amount": "7.50"}}),
        ({"description": "Of tin."}, {"description": "Of tin."}),
        ({"description": None}, {"description": None}),
        ({"name": "Torch", "price": 9}, {"name": "Torch", "price": {"amount": "9.00"}}),
    ],
)
async def test_what_is_given_changes_and_all_else_stays(
    api: Api, lamp: Product, owner: User, change: dict[str, Any], shown: dict[str, Any]
) -> None:
    updated = (await update(api, owner, id=gid(lamp), **change))["product"]

    after = {**AS_IT_WAS, **shown, "version": 2}
    assert await read(api, lamp) == after
    assert updated["price"].pop("currency") == "SEK"
    assert {key: updated[key] for key in after} == after


async def test_an_update_tells_when_it_was(api: Api, market: Market, lamp: Product, owner: User) -> None:
    updated = (await update(api, owner, id=gid(lamp), price=4))["product"]

    reloaded = await market.reload(lamp)
    assert updated["updatedAt"] > "2020-01-01T00:00:00.000000+00:00"
    assert datetime.fromisoformat(updated["updatedAt"]) == reloaded.updated_at
    assert datetime.fromisoformat(updated["createdAt"]) == reloaded.created_at


@pytest.mark.parametrize(
    ("wrong", "field", "code"),
    [
        ({"name": None}, "name", "REQUIRED"),
        ({"name": ""}, "name", "EMPTY"),
        ({"price": None}, "price", "REQUIRED"),
        ({"price": "-1"}, "price", "TOO_SMALL"),
        ({"price": "1.001"}, "price", "TOO_MANY_DECIMALS"),
        ({"description": " "}, "description", "EMPTY"),
    ],
)
async def test_a_field_that_breaks_a_rule_is_named_and_nothing_changes(
    api: Api, lamp: Product, owner: User, wrong: dict[str, Any], field: str, code: str
) -> None:
    right = {"name": "Torch", "price": "1", "description": "Of tin."}

    refused = await update(api, owner, id=gid(lamp), **{**right, **wrong})

    assert refused["__typename"] == "InvalidInput"
    assert [(issue["path"], issue["code"]) for issue in refused["issues"]] == [(["input", field], code)]
    assert await read(api, lamp) == AS_IT_WAS


async def test_null_clears_neither_name_nor_price_and_says_so(api: Api, lamp: Product, owner: User) -> None:
    refused = await update(api, owner, id=gid(lamp), name=None, price=None)

    assert [(issue["path"], issue["message"]) for issue in refused["issues"]] == [
        (["input", "name"], "must not be null"),
        (["input", "price"], "must not be null"),
    ]


async def test_a_name_that_the_store_has_is_a_conflict_and_nothing_changes(
    api: Api, market: Market, store: Store, lamp: Product, owner: User
) -> None:
    await market.product(store, name="Torch")

    refused = await update(api, owner, id=gid(lamp), name="Torch", price=9)

    assert refused["__typename"] == "Conflict"
    assert (refused["path"], refused["code"]) == (["input", "name"], "PRODUCT_NAME_TAKEN")
    assert await read(api, lamp) == AS_IT_WAS


async def test_a_name_of_a_deleted_product_or_of_another_store_is_free(
    api: Api, market: Market, store: Store, lamp: Product, owner: User
) -> None:
    await market.product(store, name="Torch", deleted_at=datetime.now(UTC))
    await market.product(name="Torch")

    assert (await update(api, owner, id=gid(lamp), name="Torch"))["product"]["name"] == "Torch"


async def test_a_product_may_be_given_the_name_that_it_has(api: Api, lamp: Product, owner: User) -> None:
    updated = (await update(api, owner, id=gid(lamp), name="Lamp", price=9))["product"]

    assert (updated["name"], updated["price"]["amount"]) == ("Lamp", "9.00")


async def test_an_update_at_the_expected_version_is_made(api: Api, lamp: Product, owner: User) -> None:
    updated = (await update(api, owner, id=gid(lamp), price=9, expectedVersion=1))["product"]

    assert (updated["price"]["amount"], updated["version"]) == ("9.00", 2)


async def test_an_update_at_another_version_is_stale_shows_the_current_state_and_changes_nothing(
    api: Api, lamp: Product, owner: User
) -> None:
    updated = await update(api, owner, id=gid(lamp), price=7)

    stale = await update(api, owner, id=gid(lamp), price=9, expectedVersion=1)

    assert (stale["__typename"], stale["currentVersion"]) == ("StaleVersion", 2)
    assert stale["current"] == updated["product"]
    assert await read(api, lamp) == {**AS_IT_WAS, "price": {"amount": "7.00"}, "version": 2}


@pytest.mark.parametrize("expected", [0, 2, -1])
async def test_a_version_that_never_was_is_stale(api: Api, lamp: Product, owner: User, expected: int) -> None:
    stale = await update(api, owner, id=gid(lamp), price=9, expectedVersion=expected)

    assert (stale["__typename"], stale["currentVersion"]) == ("StaleVersion", 1)


async def test_an_expected_version_of_null_expects_none(api: Api, lamp: Product, owner: User) -> None:
    updated = await update(api, owner, id=gid(lamp), price=9, expectedVersion=None)

    assert updated["__typename"] == "UpdateProductSuccess"


async def test_a_deleted_product_is_not_found_even_by_its_owner(
    api: Api, market: Market, store: Store, owner: User
) -> None:
    deleted = await market.product(store, name="Lamp", deleted_at=datetime.now(UTC))

    refused = await update(api, owner, id=gid(deleted), name="Torch")

    assert (refused["__typename"], refused["missingId"]) == ("NotFound", gid(deleted))
    assert (await market.reload(deleted)).name == "Lamp"


async def test_a_product_that_is_not_there_is_not_found(api: Api, owner: User) -> None:
    missing = f"Product_{uuid4()}"

    refused = await update(api, owner, id=missing, price=1)

    assert (refused["__typename"], refused["missingId"]) == ("NotFound", missing)


async def test_the_price_of_past_orders_stays(api: Api, market: Market, lamp: Product, owner: User) -> None:
    await market.order(owner, lamp)

    await update(api, owner, id=gid(lamp), price="99")

    query = "{ orders { nodes { items { unitPrice { amount } product { price { amount } } } } } }"
    data = await api.data(query, user=owner)
    (item,) = data["orders"]["nodes"][0]["items"]
    assert item == {"unitPrice": {"amount": "12.50"}, "product": {"price": {"amount": "99.00"}}}


@pytest.mark.parametrize("id", ["", "Lamp", "Store_01970000-0000-7000-8000-000000000000"])
async def test_what_is_no_id_of_a_product_is_refused(api: Api, owner: User, id: str) -> None:
    error = await api.error(UPDATE, {"input": {"id": id, "price": 1}}, user=owner)

    assert error["extensions"] == {"code": "BAD_USER_INPUT", "argumentPath": ["input", "id"]}


async def test_a_stock_that_changed_makes_no_version_stale(api: Api, lamp: Product, owner: User) -> None:
    await place(api, owner, item(lamp))
    await adjust_stock(api, owner, productId=gid(lamp), delta=5)

    updated = await update(api, owner, id=gid(lamp), price=9, expectedVersion=1)

    assert updated["__typename"] == "UpdateProductSuccess"
    assert await read(api, lamp) == {**AS_IT_WAS, "price": {"amount": "9.00"}, "stock": 7, "version": 2}


async def test_the_stock_is_no_part_of_an_update(api: Api, lamp: Product, owner: User) -> None:
    error = await api.error(UPDATE, {"input": {"id": gid(lamp), "stock": 1}}, user=owner)

    assert error["code"] == "BAD_USER_INPUT"
    assert await read(api, lamp) == AS_IT_WAS
