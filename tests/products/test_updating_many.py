"""Changing up to a thousand products at once, all of them or none."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import insert, select

from app.db.models import Product, Store, User
from tests.api import Api
from tests.market import Market, gid
from tests.products.changes import UPDATE_MANY, update_many
from tests.statements import Statements


@pytest.fixture
async def lamp(market: Market, store: Store) -> Product:
    return await market.product(store, name="Lamp", price=5, description="Of brass.", stock=3)


@pytest.fixture
async def chair(market: Market, store: Store) -> Product:
    return await market.product(store, name="Chair", price=9)


async def rows(market: Market, *products: Product) -> list[tuple[str, str, str | None, int]]:
    """Return what can be changed of the products, and their versions, as they stand in the database."""
    found = [await market.reload(product) for product in products]
    return [(row.name, str(row.price), row.description, row.version) for row in found]


AS_THEY_WERE = [("Lamp", "5.00", "Of brass.", 1), ("Chair", "9.00", None, 1)]


async def test_each_product_changes_by_itself_and_is_answered_in_its_place(
    api: Api, market: Market, lamp: Product, chair: Product, owner: User
) -> None:
    updated = await update_many(
        api,
        owner,
        {"id": gid(chair), "price": "9.5", "expectedVersion": 1},
        {"id": gid(lamp), "name": " Torch ", "description": None},
    )

    assert updated["__typename"] == "UpdateProductsSuccess"
    shown = [(each["id"], each["name"], each["price"]["amount"], each["version"]) for each in updated["products"]]
    assert shown == [(gid(chair), "Chair", "9.50", 2), (gid(lamp), "Torch", "5.00", 2)]
    assert await rows(market, lamp, chair) == [("Torch", "5.00", None, 2), ("Chair", "9.50", None, 2)]
    assert lamp.stock == 3


async def test_what_does_not_change_is_no_new_version(
    api: Api, market: Market, lamp: Product, chair: Product, owner: User
) -> None:
    updated = await update_many(
        api, owner, {"id": gid(lamp), "name": "Lamp", "price": 5}, {"id": gid(chair), "price": 1}
    )

    assert [each["version"] for each in updated["products"]] == [1, 2]
    assert await rows(market, lamp) == AS_THEY_WERE[:1]


async def test_products_of_several_stores_may_be_changed_at_once(
    api: Api, market: Market, lamp: Product, owner: User
) -> None:
    yen = await market.product(await market.store(owner, currency="JPY"), price=100)

    updated = await update_many(api, owner, {"id": gid(lamp), "price": "1.5"}, {"id": gid(yen), "price": "150.0"})

    prices = [each["price"] for each in updated["products"]]
    assert prices == [{"amount": "1.50", "currency": "SEK"}, {"amount": "150", "currency": "JPY"}]


async def test_a_thousand_changes_take_as_many_statements_as_two(
    api: Api, market: Market, store: Store, owner: User, statements: Statements
) -> None:
    other = await market.store(owner)
    new = [
        {"id": uuid4(), "store_id": each.id, "currency": each.currency, "name": str(number), "price": 1}
        for number in range(500)
        for each in (store, other)
    ]
    await market.session.execute(insert(Product), new)
    await market.session.commit()
    ids = [f"Product_{row['id']}" for row in new]
    statements.clear()
    await update_many(api, owner, *({"id": id, "name": f"{id} 1", "price": 2} for id in ids[:2]))
    for_two = len(statements)
    statements.clear()

    updated = await update_many(api, owner, *({"id": id, "name": id, "price": 3} for id in ids))

    assert [each["id"] for each in updated["products"]] == ids
    assert {each["price"]["amount"] for each in updated["products"]} == {"3.00"}
    assert len(statements) == for_two
    assert sum(statement.startswith("UPDATE products") for statement in statements) == 1


async def test_the_products_of_anothers_store_are_forbidden_and_nothing_changes(
    api: Api, market: Market, lamp: Product, owner: User
) -> None:
    foreign = await market.product(name="Foreign")
    variables = {"input": {"products": [{"id": gid(lamp), "name": "Torch"}, {"id": gid(foreign), "name": "Mine"}]}}

    error = await api.error(UPDATE_MANY, variables, user=owner)

    assert error["code"] == "FORBIDDEN"
    assert await rows(market, lamp) == AS_THEY_WERE[:1]
    assert (await market.reload(foreign)).name == "Foreign"


@pytest.mark.parametrize("deleted", [True, False])
async def test_a_product_that_is_not_there_or_deleted_is_not_found_and_nothing_changes(
    api: Api, market: Market, store: Store, lamp: Product, owner: User, deleted: bool
) -> None:
    gone = await market.product(store, deleted_at=datetime.now(UTC))
    missing = gid(gone) if deleted else f"Product_{uuid4()}"

    refused = await update_many(api, owner, {"id": gid(lamp), "name": "Torch"}, {"id": missing, "price": 1})

    assert (refused["__typename"], refused["missingId"]) == ("NotFound", missing)
    assert await rows(market, lamp) == AS_THEY_WERE[:1]


async def test_a_stale_version_names_the_current_product_and_nothing_changes(
    api: Api, market: Market, lamp: Product, chair: Product, owner: User
) -> None:
    refused = await update_many(
        api, owner, {"id": gid(lamp), "name": "Torch"}, {"id": gid(chair), "price": 1, "expectedVersion": 7}
    )

    assert (refused["__typename"], refused["currentVersion"]) == ("StaleVersion", 1)
    assert (refused["current"]["id"], refused["current"]["name"]) == (gid(chair), "Chair")
    assert await rows(market, lamp, chair) == AS_THEY_WERE


async def test_a_product_may_be_named_only_once(
    api: Api, market: Market, lamp: Product, chair: Product, owner: User
) -> None:
    ids = [gid(lamp), gid(chair), gid(lamp), gid(lamp)]

    refused = await update_many(api, owner, *({"id": id, "price": 1} for id in ids))

    assert [(issue["path"], issue["code"]) for issue in refused["issues"]] == [
        (["input", "products", place, "id"], "NOT_UNIQUE") for place in ("2", "3")
    ]
    assert await rows(market, lamp, chair) == AS_THEY_WERE


async def test_a_name_twice_in_a_store_is_named_at_its_repetition_and_nothing_changes(
    api: Api, market: Market, lamp: Product, chair: Product, owner: User
) -> None:
    elsewhere = await market.product(await market.store(owner))

    refused = await update_many(api, owner, *({"id": gid(each), "name": "Torch"} for each in (lamp, elsewhere, chair)))

    assert [(issue["path"], issue["code"]) for issue in refused["issues"]] == [
        (["input", "products", "2", "name"], "NOT_UNIQUE")
    ]
    assert await rows(market, lamp, chair) == AS_THEY_WERE


async def test_one_name_may_be_given_in_two_stores(api: Api, market: Market, lamp: Product, owner: User) -> None:
    elsewhere = await market.product(await market.store(owner))

    updated = await update_many(api, owner, *({"id": gid(each), "name": "Torch"} for each in (lamp, elsewhere)))

    assert updated["__typename"] == "UpdateProductsSuccess"


async def test_a_name_that_the_store_has_is_a_conflict_at_its_index_and_nothing_changes(
    api: Api, market: Market, store: Store, lamp: Product, chair: Product, owner: User
) -> None:
    await market.product(store, name="Torch")

    refused = await update_many(api, owner, {"id": gid(lamp), "price": 1}, {"id": gid(chair), "name": "Torch"})

    assert refused["__typename"] == "Conflict"
    assert (refused["path"], refused["code"]) == (["input", "products", "1", "name"], "PRODUCT_NAME_TAKEN")
    assert await rows(market, lamp, chair) == AS_THEY_WERE


async def test_a_name_of_a_deleted_product_is_free(
    api: Api, market: Market, store: Store, lamp: Product, owner: User
) -> None:
    await market.product(store, name="Torch", deleted_at=datetime.now(UTC))

    updated = await update_many(api, owner, {"id": gid(lamp), "name": "Torch"})

    assert updated["products"][0]["name"] == "Torch"


@pytest.mark.parametrize("reverse", [False, True])
async def test_products_may_pass_their_names_on_and_exchange_them(
    api: Api, market: Market, lamp: Product, chair: Product, store: Store, owner: User, reverse: bool
) -> None:
    table = await market.product(store, name="Table")
    names = [("Chair", lamp), ("Lamp", chair), ("Desk", table)]
    if reverse:
        names = [("Table", lamp), ("Lamp", chair), ("Chair", table)]

    updated = await update_many(api, owner, *({"id": gid(each), "name": name} for name, each in names))

    assert updated["__typename"] == "UpdateProductsSuccess"
    assert [(each["name"], each["version"]) for each in updated["products"]] == [(name, 2) for name, _ in names]
    stored = select(Product.name).where(Product.store_id == store.id).order_by(Product.id)
    assert list(await market.session.scalars(stored)) == [name for name, _ in names]


async def test_names_are_exchanged_beside_a_product_that_is_called_like_a_key(
    api: Api, market: Market, lamp: Product, chair: Product, store: Store, owner: User
) -> None:
    await market.product(store, name=str(lamp.id))

    updated = await update_many(api, owner, {"id": gid(lamp), "name": "Chair"}, {"id": gid(chair), "name": "Lamp"})

    assert [each["name"] for each in updated["products"]] == ["Chair", "Lamp"]


@pytest.mark.parametrize(("count", "code"), [(0, "TOO_FEW"), (1001, "TOO_MANY")])
async def test_none_and_more_than_a_thousand_are_refused(api: Api, owner: User, count: int, code: str) -> None:
    refused = await update_many(api, owner, *({"id": f"Product_{uuid4()}", "price": 1} for _ in range(count)))

    assert refused["__typename"] == "InvalidInput"
    assert [(issue["path"], issue["code"]) for issue in refused["issues"]] == [(["input", "products"], code)]


async def test_every_wrong_field_is_named_with_its_index_and_nothing_changes(
    api: Api, market: Market, lamp: Product, chair: Product, owner: User
) -> None:
    refused = await update_many(
        api, owner, {"id": gid(lamp), "name": "", "price": -1}, {"id": gid(chair), "description": " "}
    )

    assert [(issue["path"], issue["code"]) for issue in refused["issues"]] == [
        (["input", "products", "0", "name"], "EMPTY"),
        (["input", "products", "0", "price"], "TOO_SMALL"),
        (["input", "products", "1", "description"], "EMPTY"),
    ]
    assert await rows(market, lamp, chair) == AS_THEY_WERE


async def test_every_price_with_too_many_decimals_is_named_with_its_index(
    api: Api, market: Market, lamp: Product, chair: Product, owner: User
) -> None:
    yen, dinar = [
        await market.product(await market.store(owner, currency=currency), price=100) for currency in ("JPY", "KWD")
    ]
    prices: dict[Product, Any] = {lamp: "1.001", yen: "100.5", dinar: "1.001", chair: "1.01"}

    refused = await update_many(api, owner, *({"id": gid(each), "price": price} for each, price in prices.items()))

    assert refused["issues"] == [
        {
            "path": ["input", "products", "0", "price"],
            "code": "TOO_MANY_DECIMALS",
            "message": "must have at most 2 decimals in SEK",
        },
        {
            "path": ["input", "products", "1", "price"],
            "code": "TOO_MANY_DECIMALS",
            "message": "must have at most 0 decimals in JPY",
        },
    ]
    assert await rows(market, lamp, chair) == AS_THEY_WERE


async def test_what_is_no_id_of_a_product_is_refused_at_its_index(api: Api, lamp: Product, owner: User) -> None:
    products = [{"id": gid(lamp), "price": 1}, {"id": f"Store_{lamp.store_id}", "price": 1}]

    error = await api.error(UPDATE_MANY, {"input": {"products": products}}, user=owner)

    assert error["extensions"] == {"code": "BAD_USER_INPUT", "argumentPath": ["input", "products", "1", "id"]}
