"""Every mutation leaves a line for each entity that it changed: who, which operation, which fields, no value."""

import re
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.models import User
from tests.api import Api
from tests.audit.trail import REFRESH_TOKEN, Line, Shop, is_failure, trail
from tests.market import PASSWORD, gid
from tests.orders import operations as orders
from tests.orders import store_orders as parts
from tests.products import changes as products
from tests.stores import operations as stores
from tests.users import operations as users

NOW = datetime.now(UTC)
GLOBAL_ID = re.compile(r"[A-Za-z]+_[0-9a-f-]{36}")


class Expected(NamedTuple):
    """What was sent and answered, and what the trail must tell of it: fields by the id of what they are of."""

    told: Any
    actor: str | None
    changes: dict[str, str]


async def run(shop: Shop, document: str, variables: dict[str, Any], user: User | None) -> tuple[Any, Any]:
    """Return what was sent and answered, and the payload, which is no failure."""
    payload = await shop.run(document, variables, user)
    assert not is_failure(payload)
    return [variables, payload], payload


async def sign_up(shop: Shop) -> Expected:
    told, payload = await run(shop, users.SIGN_UP, {"input": users.ADA}, None)
    id = payload["session"]["user"]["id"]
    return Expected(told, id, {id: "email fullName isSuperuser password sessions"})


async def log_in(shop: Shop) -> Expected:
    told, _ = await run(shop, users.LOG_IN, {"email": shop.owner.email, "password": PASSWORD}, None)
    return Expected(told, gid(shop.owner), {gid(shop.owner): "sessions"})


async def refresh_session(shop: Shop) -> Expected:
    told, _ = await run(shop, users.REFRESH, {"token": REFRESH_TOKEN}, None)
    return Expected(told, gid(shop.customer), {gid(shop.customer): "sessions"})


async def log_out(shop: Shop) -> Expected:
    told, payload = await run(shop, users.LOG_OUT, {"token": REFRESH_TOKEN}, None)
    assert payload["wasOpen"]
    return Expected(told, gid(shop.customer), {gid(shop.customer): "sessions"})


async def update_user(shop: Shop) -> Expected:
    changes = {"email": "new@example.com", "fullName": "New Name", "password": "another long password"}
    changes["currentPassword"] = PASSWORD
    told, _ = await run(shop, users.UPDATE_USER, {"input": {"id": gid(shop.customer), **changes}}, shop.superuser)
    return Expected(told, gid(shop.superuser), {gid(shop.customer): "email fullName password sessions"})


async def delete_user(shop: Shop) -> Expected:
    second = await shop.market.store(shop.owner)
    await shop.market.store(shop.owner, deleted_at=NOW)
    told, _ = await run(shop, users.DELETE_USER, {"id": gid(shop.owner)}, shop.owner)
    stores = dict.fromkeys([gid(shop.store), gid(second)], "deletedAt")
    return Expected(told, gid(shop.owner), {gid(shop.owner): "deletedAt sessions", **stores})


async def create_store(shop: Shop) -> Expected:
    told, payload = await run(shop, stores.CREATE_STORE, {"input": stores.NEW_STORE}, shop.customer)
    fields = "city country currency name ownerId postcode street"
    return Expected(told, gid(shop.customer), {payload["store"]["id"]: fields})


async def update_store(shop: Shop) -> Expected:
    input = {"id": gid(shop.store), "name": "New Name", "city": shop.store.city, "phone": "+49 30 1234567"}
    told, _ = await run(shop, stores.UPDATE_STORE, {"input": input}, shop.owner)
    return Expected(told, gid(shop.owner), {gid(shop.store): "name phone"})


async def delete_store(shop: Shop) -> Expected:
    told, _ = await run(shop, stores.DELETE_STORE, {"id": gid(shop.store)}, shop.owner)
    return Expected(told, gid(shop.owner), {gid(shop.store): "deletedAt"})


async def restore_store(shop: Shop) -> Expected:
    store = await shop.market.store(shop.owner, deleted_at=NOW)
    told, _ = await run(shop, stores.RESTORE_STORE, {"id": gid(store)}, shop.superuser)
    return Expected(told, gid(shop.superuser), {gid(store): "deletedAt"})


async def create_product(shop: Shop) -> Expected:
    input = {"storeId": gid(shop.store), "name": "A lamp", "price": "12.34", "stock": 56789}
    told, payload = await run(shop, products.CREATE, {"input": input}, shop.owner)
    return Expected(told, gid(shop.owner), {payload["product"]["id"]: "currency name price stock storeId"})


async def create_products(shop: Shop) -> Expected:
    lamp, torch = {"name": "A lamp", "price": "12.34"}, {"name": "A torch", "price": "5", "description": "Of tin"}
    input = {"storeId": gid(shop.store), "products": [lamp, torch]}
    told, payload = await run(shop, products.CREATE_MANY, {"input": input}, shop.owner)
    first, second = (product["id"] for product in payload["products"])
    fields = {first: "currency name price storeId", second: "currency description name price storeId"}
    return Expected(told, gid(shop.owner), fields)


async def update_product(shop: Shop) -> Expected:
    input = {"id": gid(shop.product), "price": "98.76", "description": "Of tin", "name": shop.product.name}
    told, _ = await run(shop, products.UPDATE, {"input": input}, shop.owner)
    return Expected(told, gid(shop.owner), {gid(shop.product): "description price"})


async def update_products(shop: Shop) -> Expected:
    second, unchanged = [await shop.market.product(shop.store) for _ in range(2)]
    changes = [
        {"id": gid(shop.product), "price": "98.76", "description": "Of tin"},
        {"id": gid(second), "name": "A torch", "price": str(second.price)},
        {"id": gid(unchanged), "name": unchanged.name},
    ]
    told, _ = await run(shop, products.UPDATE_MANY, {"input": {"products": changes}}, shop.owner)
    return Expected(told, gid(shop.owner), {gid(shop.product): "description price", gid(second): "name"})


async def adjust_stock(shop: Shop) -> Expected:
    input = {"productId": gid(shop.product), "delta": 56789}
    told, _ = await run(shop, products.ADJUST_STOCK, {"input": input}, shop.owner)
    return Expected(told, gid(shop.owner), {gid(shop.product): "stock"})


async def set_stock(shop: Shop) -> Expected:
    input = {"productId": gid(shop.product), "stock": 56789, "expectedStock": 5}
    told, _ = await run(shop, products.SET_STOCK, {"input": input}, shop.superuser)
    return Expected(told, gid(shop.superuser), {gid(shop.product): "stock"})


async def delete_product(shop: Shop) -> Expected:
    told, _ = await run(shop, products.DELETE, {"id": gid(shop.product)}, shop.owner)
    return Expected(told, gid(shop.owner), {gid(shop.product): "deletedAt"})


async def restore_product(shop: Shop) -> Expected:
    product = await shop.market.product(shop.store, deleted_at=NOW)
    told, _ = await run(shop, products.RESTORE, {"id": gid(product)}, shop.owner)
    return Expected(told, gid(shop.owner), {gid(product): "deletedAt"})


async def place_order(shop: Shop) -> Expected:
    told, payload = await run(shop, orders.PLACE, {"items": [orders.item(shop.product, 2)]}, shop.superuser)
    return Expected(told, gid(shop.superuser), {payload["order"]["id"]: "customerId items"})


async def cancel_order(shop: Shop) -> Expected:
    told, _ = await run(shop, orders.CANCEL, {"id": gid(shop.order)}, shop.customer)
    return Expected(told, gid(shop.customer), {gid(shop.order): "status", gid(shop.part): "items status"})


async def fulfill_store_order(shop: Shop) -> Expected:
    told, _ = await run(shop, parts.FULFILL, {"input": {"id": gid(shop.part)}}, shop.owner)
    return Expected(told, gid(shop.owner), {gid(shop.order): "status", gid(shop.part): "items status"})


async def decline_store_order(shop: Shop) -> Expected:
    given = {"id": gid(shop.part), "reason": "The oven is out"}
    told, _ = await run(shop, parts.DECLINE, {"input": given}, shop.owner)
    changes = {gid(shop.order): "status", gid(shop.part): "declineReason items status"}
    return Expected(told, gid(shop.owner), changes)


async def delete_order(shop: Shop) -> Expected:
    told, _ = await run(shop, orders.DELETE, {"id": gid(shop.order)}, shop.superuser)
    changes = {gid(shop.order): "deletedAt status", gid(shop.part): "deletedAt items status"}
    return Expected(told, gid(shop.superuser), changes)


CASES: dict[str, Callable[[Shop], Awaitable[Expected]]] = {
    "signUp": sign_up,
    "logIn": log_in,
    "refreshSession": refresh_session,
    "logOut": log_out,
    "updateUser": update_user,
    "deleteUser": delete_user,
    "createStore": create_store,
    "updateStore": update_store,
    "deleteStore": delete_store,
    "restoreStore": restore_store,
    "createProduct": create_product,
    "createProducts": create_products,
    "updateProduct": update_product,
    "updateProducts": update_products,
    "adjustStock": adjust_stock,
    "setStock": set_stock,
    "deleteProduct": delete_product,
    "restoreProduct": restore_product,
    "placeOrder": place_order,
    "cancelOrder": cancel_order,
    "fulfillStoreOrder": fulfill_store_order,
    "declineStoreOrder": decline_store_order,
    "deleteOrder": delete_order,
}


async def test_every_mutation_of_the_schema_is_tried_here(api: Api) -> None:
    data = await api.data("{ __schema { mutationType { fields { name } } } }")

    assert {field["name"] for field in data["__schema"]["mutationType"]["fields"]} == CASES.keys()


@pytest.mark.parametrize("mutation", CASES)
async def test_a_mutation_leaves_a_line_for_each_entity_that_it_changed(
    shop: Shop, connection: AsyncConnection, mutation: str
) -> None:
    _, actor, changes = await CASES[mutation](shop)

    assert sorted(await trail(connection)) == sorted(
        Line(mutation, actor, entity, fields) for entity, fields in changes.items()
    )


@pytest.mark.parametrize("mutation", CASES)
async def test_no_value_that_was_sent_or_answered_is_in_the_trail(
    shop: Shop, connection: AsyncConnection, mutation: str
) -> None:
    told, _, _ = await CASES[mutation](shop)

    lines = "\n".join(await connection.scalars(text("SELECT audit_entries::text FROM audit_entries")))
    assert mutation in lines
    values = set(values_in(told))
    assert not [value for value in values if value in lines]
    assert "$argon2" not in lines


def values_in(told: Any) -> Iterator[str]:
    """Yield every text and number that could be told from a part of a line by chance: no id and nothing short."""
    if isinstance(told, dict):
        for name, value in told.items():
            if name != "__typename":
                yield from values_in(value)
    elif isinstance(told, list):
        for value in told:
            yield from values_in(value)
    elif told is not None and len(str(told)) > 4 and not GLOBAL_ID.fullmatch(str(told)):
        yield str(told)
