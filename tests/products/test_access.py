"""Who may change which product: the owner of its store and superusers."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from app.db.models import Product, Store, User
from tests.api import Api
from tests.market import Market, gid
from tests.products.changes import (
    ADJUST_STOCK,
    CREATE,
    CREATE_MANY,
    DELETE,
    RESTORE,
    SET_STOCK,
    UPDATE,
    UPDATE_MANY,
    restore,
)

FIELDS = {
    "createProduct": CREATE,
    "createProducts": CREATE_MANY,
    "updateProduct": UPDATE,
    "updateProducts": UPDATE_MANY,
    "adjustStock": ADJUST_STOCK,
    "setStock": SET_STOCK,
    "deleteProduct": DELETE,
    "restoreProduct": RESTORE,
}


@pytest.fixture
async def lamp(market: Market, store: Store) -> Product:
    return await market.product(store, name="Lamp", stock=3)


def variables(field: str, product: Product) -> Mapping[str, Any]:
    """Return variables with which the field does something to the product or its store."""
    store_id = f"Store_{product.store_id}"
    match field:
        case "createProduct":
            return {"input": {"storeId": store_id, "name": "New", "price": "1"}}
        case "createProducts":
            return {"input": {"storeId": store_id, "products": [{"name": "New", "price": "1"}]}}
        case "updateProduct":
            return {"input": {"id": gid(product), "name": "New"}}
        case "updateProducts":
            return {"input": {"products": [{"id": gid(product), "name": "New"}]}}
        case "adjustStock":
            return {"input": {"productId": gid(product), "delta": 1}}
        case "setStock":
            return {"input": {"productId": gid(product), "stock": 1}}
        case _:
            return {"id": gid(product)}


async def catalogue(api: Api) -> Any:
    data = await api.data("{ products { nodes { name stock version deletedAt } } }")
    return data["products"]["nodes"]


UNCHANGED = [{"name": "Lamp", "stock": 3, "version": 1, "deletedAt": None}]


@pytest.mark.parametrize("field", FIELDS)
async def test_nobody_changes_products_without_a_login(api: Api, lamp: Product, field: str) -> None:
    error = await api.error(FIELDS[field], variables(field, lamp))

    assert error["code"] == "UNAUTHENTICATED"
    assert await catalogue(api) == UNCHANGED


@pytest.mark.parametrize("field", FIELDS)
async def test_the_products_of_anothers_store_cannot_be_changed(
    api: Api, market: Market, lamp: Product, field: str
) -> None:
    stranger = await market.user()
    await market.store(stranger)

    error = await api.error(FIELDS[field], variables(field, lamp), user=stranger)

    assert error["code"] == "FORBIDDEN"
    assert await catalogue(api) == UNCHANGED


@pytest.mark.parametrize("field", FIELDS)
async def test_a_superuser_changes_products_of_any_store(api: Api, market: Market, lamp: Product, field: str) -> None:
    data = await api.data(FIELDS[field], variables(field, lamp), user=await market.superuser())

    assert data[field]["__typename"] == f"{field[0].upper()}{field[1:]}Success"


@pytest.mark.parametrize("field", FIELDS)
async def test_a_deleted_account_changes_nothing(
    api: Api, market: Market, lamp: Product, owner: User, field: str
) -> None:
    owner.deleted_at = datetime.now(UTC)
    await market.add(owner)

    error = await api.error(FIELDS[field], variables(field, lamp), user=owner)

    assert error["code"] == "UNAUTHENTICATED"
    assert await catalogue(api) == UNCHANGED


@pytest.mark.parametrize("field", FIELDS)
async def test_a_former_superuser_changes_nothing(api: Api, market: Market, lamp: Product, field: str) -> None:
    former = await market.superuser()
    token = api.token(former)
    former.is_superuser = False
    await market.add(former)

    response = await api.send(FIELDS[field], variables(field, lamp), headers={"Authorization": f"Bearer {token}"})

    (error,) = response.json()["errors"]
    assert error["extensions"]["code"] == "FORBIDDEN"
    assert await catalogue(api) == UNCHANGED


@pytest.mark.parametrize(
    "field", ["updateProduct", "updateProducts", "adjustStock", "setStock", "deleteProduct", "restoreProduct"]
)
async def test_a_strangers_deleted_product_is_answered_like_one_that_never_was(
    api: Api, market: Market, lamp: Product, field: str
) -> None:
    stranger = await market.user()
    lamp.deleted_at = datetime.now(UTC)
    await market.add(lamp)
    never = Product(id=stranger.id, store_id=lamp.store_id)

    of_deleted = (await api.data(FIELDS[field], variables(field, lamp), user=stranger))[field]
    of_never = (await api.data(FIELDS[field], variables(field, never), user=stranger))[field]

    assert of_deleted == {**of_never, "missingId": gid(lamp)}
    assert of_deleted["__typename"] == "NotFound"


async def test_a_stranger_does_not_learn_that_the_store_of_a_deleted_product_is_deleted(
    api: Api, market: Market
) -> None:
    moment = datetime.now(UTC)
    product = await market.product(await market.store(deleted_at=moment), deleted_at=moment)

    refused = await restore(api, await market.user(), gid(product))

    assert (refused["__typename"], refused["missingId"]) == ("NotFound", gid(product))
