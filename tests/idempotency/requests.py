"""Requests with an idempotency key, as tests send them."""

from collections.abc import Mapping
from typing import Any

import httpx2
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.models import IdempotencyKey, Product, User
from tests.api import Api
from tests.orders.operations import PLACE, item

KEY = "a-key-of-the-client"


def keyed(key: str | bytes = KEY) -> dict[str, Any]:
    """Return the header that makes a request idempotent."""
    return {"Idempotency-Key": key}


async def send(
    api: Api,
    query: str,
    variables: Mapping[str, Any] | None = None,
    *,
    user: User | None = None,
    key: str | bytes = KEY,
) -> httpx2.Response:
    """Return the response to an operation that is sent under a key."""
    return await api.send(query, variables, user=user, headers=keyed(key))


async def order(
    api: Api, user: User | None, product: Product, quantity: int = 1, *, key: str | bytes = KEY
) -> httpx2.Response:
    """Return the response to an order that is placed under a key."""
    return await send(api, PLACE, {"items": [item(product, quantity)]}, user=user, key=key)


def is_replay(response: httpx2.Response) -> bool:
    """Return whether the response is marked as replayed."""
    replayed = response.headers.get("Idempotency-Replayed")
    assert replayed in (None, "true")
    return replayed is not None


def assert_refused(response: httpx2.Response) -> None:
    """Check that the key was refused, by its name, and nothing done."""
    result = response.json()
    (error,) = result["errors"]
    assert result["data"] is None
    assert error["extensions"] == {"code": "BAD_USER_INPUT", "argumentPath": ["Idempotency-Key"]}
    assert "`Idempotency-Key`" in error["message"]
    assert not is_replay(response)


async def kept(connection: AsyncConnection) -> list[str]:
    """Return the keys that are kept, sorted."""
    return sorted(await connection.scalars(select(IdempotencyKey.key)))
