"""Adding one product to a store."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from app.db.models import Store, User
from app.inputs import MAX_STOCK
from tests.api import Api
from tests.market import Market, gid
from tests.paths import Paths
from tests.products.catalogue import names
from tests.products.changes import CREATE, create, update


async def test_a_new_product_is_answered_whole(api: Api, store: Store, owner: User) -> None:
    created = (
        await create(
            api, owner, storeId=gid(store), name="Lamp", price="12.50", description="Of brass.\nHeavy.", stock=3
        )
    )["product"]

    assert created["id"].startswith("Product_")
    assert created["createdAt"] == created["updatedAt"]
    assert {key: created[key] for key in created if key not in ("id", "createdAt", "updatedAt")} == {
        "name": "Lamp",
        "description": "Of brass.\nHeavy.",
        "price": {"amount": "12.50", "currency": "SEK"},
        "stock": 3,
        "version": 1,
        "deletedAt": None,
        "store": {"id": gid(store)},
    }


async def test_a_new_product_is_in_the_catalogue(api: Api, store: Store, owner: User) -> None:
    created = (await create(api, owner, storeId=gid(store), name="Lamp", price="12.50"))["product"]

    data = await api.data("query ($id: ID!) { product(id: $id) { name } products { nodes { id } } }", created)

    assert data == {"product": {"name": "Lamp"}, "products": {"nodes": [{"id": created["id"]}]}}


@pytest.mark.parametrize("left_out", [{}, {"description": None, "stock": None}])
async def test_without_description_and_stock_both_are_null(
    api: Api, store: Store, owner: User, left_out: dict[str, None]
) -> None:
    created = (await create(api, owner, storeId=gid(store), name="Lamp", price="1", **left_out))["product"]

    assert created["description"] is None
    assert created["stock"] is None


@pytest.mark.parametrize(
    ("price", "amount"),
    [
        ("12.5", "12.50"),
        ("12.50", "12.50"),
        (12, "12.00"),
        ("0", "0.00"),
        ("-0", "0.00"),
        ("1.2e1", "12.00"),
        ("12.500", "12.50"),
        ("9999999999.99", "9999999999.99"),
    ],
)
async def test_the_price_has_two_decimals_in_the_very_answer(
    api: Api, store: Store, owner: User, price: str | int, amount: str
) -> None:
    created = (await create(api, owner, storeId=gid(store), name="Lamp", price=price))["product"]

    assert created["price"] == {"amount": amount, "currency": "SEK"}
    again = await api.data("query ($id: ID!) { product(id: $id) { price { amount } } }", created)
    assert again["product"]["price"]["amount"] == amount


@pytest.mark.parametrize(
    ("currency", "price", "amount"),
    [
        ("JPY", "1800", "1800"),
        ("JPY", "1800.00", "1800"),
        ("KWD", "1.255", "1.255"),
        ("KWD", "1.2", "1.200"),
        ("KWD", 1, "1.000"),
        ("CLF", "0.0001", "0.0001"),
        ("XAU", "1.5", "1.50"),
    ],
)
async def test_a_price_has_the_decimals_of_its_currency(
    paths: Paths, market: Market, owner: User, currency: str, price: str | int, amount: str
) -> None:
    store = await market.store(owner, currency=currency)

    created = (await create(paths.resolver, owner, storeId=gid(store), name="Lamp", price=price))["product"]
    assert created["price"] == {"amount": amount, "currency": currency}
    updated = await update(paths.resolver, owner, id=created["id"], price=price, name="Torch")
    assert updated["product"]["price"] == {"amount": amount, "currency": currency}

    answers = await paths.ask("query ($id: ID!) { product(id: $id) { price { amount currency } } }", created)
    assert answers.data["product"]["price"] == {"amount": amount, "currency": currency}


@pytest.mark.parametrize(("currency", "price", "decimals"), [("JPY", "0.5", 0), ("KWD", "1.2555", 3)])
async def test_a_price_with_more_decimals_than_its_currency_has_is_refused(
    api: Api, market: Market, owner: User, currency: str, price: str, decimals: int
) -> None:
    store = await market.store(owner, currency=currency)
    product = await market.product(store, price=7)

    refused = [
        await create(api, owner, storeId=gid(store), name="Lamp", price=price),
        await update(api, owner, id=gid(product), price=price),
    ]

    for each in refused:
        assert each["issues"] == [
            {
                "path": ["input", "price"],
                "code": "TOO_MANY_DECIMALS",
                "message": f"must have at most {decimals} decimals in {currency}",
            }
        ]
    assert (await market.reload(product)).version == 1


async def test_white_space_around_a_text_is_dropped(api: Api, store: Store, owner: User) -> None:
    created = (
        await create(api, owner, storeId=gid(store), name=" Red lamp\t", price="1", description="\n Of brass. ")
    )["product"]

    assert created["name"] == "Red lamp"
    assert created["description"] == "Of brass."


@pytest.mark.parametrize(
    ("wrong", "field", "code"),
    [
        ({"name": ""}, "name", "EMPTY"),
        ({"name": "  "}, "name", "EMPTY"),
        ({"name": "x" * 256}, "name", "TOO_LONG"),
        ({"name": "two\nlines"}, "name", "CONTROL_CHARACTERS"),
        ({"name": "nul\0"}, "name", "CONTROL_CHARACTERS"),
        ({"price": "-0.01"}, "price", "TOO_SMALL"),
        ({"price": "1.001"}, "price", "TOO_MANY_DECIMALS"),
        ({"price": "0.005"}, "price", "TOO_MANY_DECIMALS"),
        ({"price": "10000000000"}, "price", "TOO_LARGE"),
        ({"price": "1e40"}, "price", "TOO_LARGE"),
        ({"description": ""}, "description", "EMPTY"),
        ({"description": "\r\n\u200b"}, "description", "EMPTY"),
        ({"name": "two\u2028lines"}, "name", "CONTROL_CHARACTERS"),
        ({"price": "1.23456"}, "price", "TOO_MANY_DECIMALS"),
        ({"description": "x" * 10_001}, "description", "TOO_LONG"),
        ({"description": "nul\0"}, "description", "CONTROL_CHARACTERS"),
        ({"stock": -1}, "stock", "TOO_SMALL"),
        ({"stock": MAX_STOCK + 1}, "stock", "TOO_LARGE"),
    ],
)
async def test_a_field_that_breaks_a_rule_is_named(
    api: Api, store: Store, owner: User, wrong: dict[str, Any], field: str, code: str
) -> None:
    refused = await create(api, owner, **{"storeId": gid(store), "name": "Lamp", "price": "1", **wrong})

    assert refused["__typename"] == "InvalidInput"
    assert [(issue["path"], issue["code"]) for issue in refused["issues"]] == [(["input", field], code)]
    assert await names(api) == []


async def test_every_wrong_field_is_named_at_once(api: Api, store: Store, owner: User) -> None:
    refused = await create(api, owner, storeId=gid(store), name="", price="-1", description="", stock=-1)

    paths = [issue["path"] for issue in refused["issues"]]
    assert paths == [["input", field] for field in ("name", "price", "description", "stock")]


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("one\r\ntwo\rthree\nfour", "one\ntwo\nthree\nfour"),
        ("\r\n" * 6_000 + "x" + "\r\n" * 4_000, "x"),
        ("one\u2028two", "one\u2028two"),
        ("e\u0301" * 10_000, "\u00e9" * 10_000),
    ],
)
async def test_a_description_has_plain_line_breaks_and_composed_characters(
    api: Api, store: Store, owner: User, given: str, stored: str
) -> None:
    # 20,001 characters before the line breaks are converted and trimmed, and 20,000 before they are composed.
    created = await create(api, owner, storeId=gid(store), name="Lamp", price="1", description=given)

    assert created["product"]["description"] == stored


@pytest.mark.parametrize(("currency", "decimals"), [("JPY", 0), ("EUR", 2), ("KWD", 3)])
async def test_an_amount_with_too_many_decimals_is_told_how_many_its_currency_has(
    api: Api, market: Market, owner: User, currency: str, decimals: int
) -> None:
    store = await market.store(owner, currency=currency)
    refused = await create(api, owner, storeId=gid(store), name="Lamp", price="1.23456")

    assert [issue["message"] for issue in refused["issues"]] == [f"must have at most {decimals} decimals in {currency}"]


async def test_what_a_wrong_field_expects_is_told(api: Api, store: Store, owner: User) -> None:
    refused = await create(api, owner, storeId=gid(store), name="", price="1.001", stock=-1)

    assert [issue["message"] for issue in refused["issues"]] == [
        "must not be empty",
        "must have at most 2 decimals in SEK",
        "must be at least 0",
    ]


async def test_the_longest_texts_and_the_largest_stock_are_taken(api: Api, store: Store, owner: User) -> None:
    name, description, stock = "x" * 255, "y" * 10_000, MAX_STOCK

    created = (
        await create(api, owner, storeId=gid(store), name=name, price="1", description=description, stock=stock)
    )["product"]

    assert (created["name"], created["description"], created["stock"]) == (name, description, stock)


async def test_a_name_that_the_store_has_is_a_conflict(api: Api, market: Market, store: Store, owner: User) -> None:
    await market.product(store, name="Lamp")

    refused = await create(api, owner, storeId=gid(store), name=" Lamp ", price="1")

    assert refused["__typename"] == "Conflict"
    assert (refused["path"], refused["code"]) == (["input", "name"], "PRODUCT_NAME_TAKEN")
    assert await names(api) == ["Lamp"]


async def test_a_name_is_free_in_another_store_and_after_a_deletion(
    api: Api, market: Market, store: Store, owner: User
) -> None:
    await market.product(name="Lamp")
    await market.product(store, name="Lamp", deleted_at=datetime.now(UTC))

    created = await create(api, owner, storeId=gid(store), name="Lamp", price="1")

    assert created["__typename"] == "CreateProductSuccess"


async def test_after_a_conflict_the_other_fields_of_the_operation_stand(
    api: Api, market: Market, store: Store, owner: User
) -> None:
    await market.product(store, name="Lamp")
    operation = """mutation ($taken: CreateProductInput!, $free: CreateProductInput!) {
      taken: createProduct(input: $taken) { __typename }
      free: createProduct(input: $free) { __typename }
    }"""
    taken = {"storeId": gid(store), "name": "Lamp", "price": "1"}

    data = await api.data(operation, {"taken": taken, "free": {**taken, "name": "Chair"}}, user=owner)

    assert data == {"taken": {"__typename": "Conflict"}, "free": {"__typename": "CreateProductSuccess"}}
    assert await names(api) == ["Lamp", "Chair"]


async def test_a_store_that_is_not_there_is_not_found(api: Api, owner: User) -> None:
    missing = f"Store_{uuid4()}"

    refused = await create(api, owner, storeId=missing, name="Lamp", price="1")

    assert (refused["__typename"], refused["missingId"]) == ("NotFound", missing)


async def test_a_deleted_store_is_not_found_even_by_its_owner(api: Api, market: Market, owner: User) -> None:
    store = await market.store(owner, deleted_at=datetime.now(UTC))

    refused = await create(api, owner, storeId=gid(store), name="Lamp", price="1")

    assert (refused["__typename"], refused["missingId"]) == ("NotFound", gid(store))


@pytest.mark.parametrize("wrong", [12.5, True, "NaN", "Infinity", "", "twelve", [1], {}, None])
async def test_a_price_that_is_no_exact_number_is_refused(api: Api, store: Store, owner: User, wrong: Any) -> None:
    input = {"storeId": gid(store), "name": "Lamp", "price": wrong}

    assert (await api.error(CREATE, {"input": input}, user=owner))["code"] == "BAD_USER_INPUT"


@pytest.mark.parametrize("id", ["", "Lamp", "Product_01970000-0000-7000-8000-000000000000"])
async def test_what_is_no_id_of_a_store_is_refused(api: Api, owner: User, id: str) -> None:
    error = await api.error(CREATE, {"input": {"storeId": id, "name": "Lamp", "price": "1"}}, user=owner)

    assert error["extensions"] == {"code": "BAD_USER_INPUT", "argumentPath": ["input", "storeId"]}
