"""A field that failed leaves no line, whichever failure its type has for it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.models import User
from tests.audit.trail import Shop, trail
from tests.market import PASSWORD, gid
from tests.orders import operations as orders
from tests.orders import store_orders as parts
from tests.products import changes as products
from tests.stores import operations as stores
from tests.users import operations as users


class Failing(NamedTuple):
    document: str
    variables: dict[str, Any]
    user: User | None


CASES: dict[tuple[str, str], Callable[[Shop], Failing]] = {
    ("signUp", "Conflict"): lambda shop: Failing(
        users.SIGN_UP, {"input": {**users.ADA, "email": shop.customer.email}}, None
    ),
    ("signUp", "InvalidInput"): lambda shop: Failing(
        users.SIGN_UP, {"input": {**users.ADA, "password": "short"}}, None
    ),
    ("logIn", "IncorrectCredentials"): lambda shop: Failing(
        users.LOG_IN, {"email": shop.customer.email, "password": "a wrong password"}, None
    ),
    ("refreshSession", "IncorrectCredentials"): lambda shop: Failing(users.REFRESH, {"token": "unknown"}, None),
    # the password has been changed and its sessions ended when the email turns out to be taken
    ("updateUser", "Conflict"): lambda shop: Failing(
        users.UPDATE_USER,
        {
            "input": {
                "id": gid(shop.customer),
                "email": shop.owner.email,
                "password": "another long password",
                "currentPassword": PASSWORD,
            }
        },
        shop.customer,
    ),
    ("deleteUser", "NotFound"): lambda shop: Failing(users.DELETE_USER, {"id": users.NOBODY}, shop.superuser),
    ("createStore", "Conflict"): lambda shop: Failing(
        stores.CREATE_STORE, {"input": {**stores.NEW_STORE, "name": shop.store.name}}, shop.owner
    ),
    ("updateStore", "StaleVersion"): lambda shop: Failing(
        stores.UPDATE_STORE, {"input": {"id": gid(shop.store), "city": "Paris", "expectedVersion": 7}}, shop.owner
    ),
    ("deleteStore", "NotFound"): lambda shop: Failing(stores.DELETE_STORE, {"id": stores.NO_STORE}, shop.owner),
    ("createProducts", "Conflict"): lambda shop: Failing(
        products.CREATE_MANY,
        {
            "input": {
                "storeId": gid(shop.store),
                "products": [{"name": "New", "price": 1}, {"name": shop.product.name, "price": 1}],
            }
        },
        shop.owner,
    ),
    ("placeOrder", "InsufficientStock"): lambda shop: Failing(
        orders.PLACE, {"items": [orders.item(shop.product, 6)]}, shop.customer
    ),
    ("cancelOrder", "NotFound"): lambda shop: Failing(orders.CANCEL, {"id": gid(shop.order)}, shop.owner),
    ("fulfillStoreOrder", "InvalidInput"): lambda shop: Failing(
        parts.FULFILL, {"input": {"id": gid(shop.part), "itemIds": []}}, shop.owner
    ),
    ("declineStoreOrder", "InvalidInput"): lambda shop: Failing(
        parts.DECLINE, {"input": {"id": gid(shop.part), "reason": ""}}, shop.owner
    ),
    ("updateProducts", "StaleVersion"): lambda shop: Failing(
        products.UPDATE_MANY,
        {"input": {"products": [{"id": gid(shop.product), "price": 1, "expectedVersion": 7}]}},
        shop.owner,
    ),
    ("adjustStock", "InvalidInput"): lambda shop: Failing(
        products.ADJUST_STOCK, {"input": {"productId": gid(shop.product), "delta": -6}}, shop.owner
    ),
    ("setStock", "StaleStock"): lambda shop: Failing(
        products.SET_STOCK, {"input": {"productId": gid(shop.product), "stock": 1, "expectedStock": 7}}, shop.owner
    ),
}


@pytest.mark.parametrize(("mutation", "failure"), CASES)
async def test_a_failed_field_leaves_no_line(
    shop: Shop, connection: AsyncConnection, mutation: str, failure: str
) -> None:
    payload = await shop.run(*CASES[mutation, failure](shop))

    assert payload["__typename"] == failure
    assert await trail(connection) == []
