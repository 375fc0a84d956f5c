"""The limit: one hand-written statement per request on asyncpg, behind a plain ASGI endpoint. No GraphQL.

Postgres builds the JSON, Python only reads tokens and passes bytes on. What it answers is what every other
contestant is held to."""

import json
import os
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import asyncpg
import jwt
import uvicorn
from sqlalchemy import make_url
from uuid_utils.compat import uuid7

from app.process.supervisor import end_with_parent

_STORE = "json_build_object('id', store.id, 'name', store.name)"
_PRICE = "json_build_object('amount', product.price::text, 'currency', product.currency)"
_ORDERS = f"""
    json_build_object('id', placed.id, 'placedAt', placed.date, 'items', (
        SELECT json_agg(json_build_object('quantity', item.quantity, 'product', json_build_object(
            'id', product.id, 'name', product.name, 'price', {_PRICE}, 'store', {_STORE})) ORDER BY item.id)
        FROM order_items item
        JOIN products product ON product.id = item.product_id
        JOIN stores store ON store.id = product.store_id
        WHERE item.order_id = placed.id))
"""

READS = {
    "Q1": f"""
        SELECT json_build_object('data', json_build_object('products', json_agg(json_build_object(
            'id', product.id, 'name', product.name, 'price', {_PRICE}, 'store', json_build_object(
                'id', store.id, 'name', store.name, 'city', store.city, 'currency', store.currency))
            ORDER BY product.id)))::text
        FROM (
            SELECT id, name, price, currency, store_id FROM products WHERE deleted_at IS NULL ORDER BY id LIMIT 50
        ) product
        JOIN stores store ON store.id = product.store_id
    """,
    "Q2": f"""
        SELECT json_build_object('data', json_build_object('orders',
            json_agg({_ORDERS} ORDER BY placed.date DESC, placed.id DESC)))::text
        FROM (
            SELECT id, date FROM orders WHERE deleted_at IS NULL ORDER BY date DESC, id DESC LIMIT 20
        ) placed
    """,
    "Q3": f"""
        SELECT json_build_object('data', json_build_object('order', {_ORDERS}))::text
        FROM orders placed WHERE placed.id = $1 AND placed.deleted_at IS NULL
    """,
    "Q4": f"""
        SELECT json_build_object('data', json_build_object('stores', json_agg(json_build_object(
            'id', store.id, 'name', store.name, 'products', (
                SELECT json_agg(json_build_object('id', product.id, 'name', product.name, 'price', {_PRICE})
                    ORDER BY product.id)
                FROM (
                    SELECT id, name, price, currency FROM products
                    WHERE store_id = store.id AND deleted_at IS NULL ORDER BY id LIMIT 20
                ) product)) ORDER BY store.id)))::text
        FROM (SELECT id, name FROM stores WHERE deleted_at IS NULL ORDER BY id LIMIT 10) store
    """,
}

PLACE_ORDER = """
    WITH placed AS (
        INSERT INTO orders (id, customer_id, customer_name) SELECT $1, id, full_name FROM users WHERE id = $2
        RETURNING id
    ), product AS (
        SELECT wanted.id AS item_id, wanted.part_id, wanted.quantity, product.*
        FROM unnest($3::uuid[], $4::uuid[], $5::uuid[], $6::int[]) AS wanted (id, part_id, product_id, quantity)
        JOIN products product ON product.id = wanted.product_id AND product.deleted_at IS NULL
    ), part AS (
        SELECT (array_agg(part_id))[1] AS id, store_id, sum(price * quantity) AS total, min(currency) AS currency
        FROM product GROUP BY store_id
    ), parts AS (
        INSERT INTO store_orders (id, order_id, store_id, total, currency)
        SELECT part.id, placed.id, store_id, total, currency FROM part, placed
    ), items AS (
        INSERT INTO order_items
            (id, order_id, store_order_id, product_id, product_name, store_id, quantity, unit_price, currency)
        SELECT item_id, placed.id, part.id, product.id, name, store_id, quantity, price, product.currency
        FROM product JOIN part USING (store_id), placed
    )
    SELECT json_build_object('data', json_build_object('placeOrder', json_build_object('id', (SELECT id FROM placed),
        'items', json_agg(json_build_object('quantity', quantity, 'product', json_build_object('name', name))
            ORDER BY item_id))))::text
    FROM product
"""

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class Application:
    """Answers POST /Q1 … /M1 with a JSON body of the variable parts."""

    def __init__(self, dsn: str, secret_key: str) -> None:
        self._dsn = dsn
        self._secret_key = secret_key

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve a request, or open and close the pool."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        answer = await self._answer(scope["path"].strip("/"), scope["headers"], await _body(receive))
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        settings = {"timezone": "UTC", "jit": "off"}
        async with asyncpg.create_pool(self._dsn, server_settings=settings, reset=_leave_as_it_is) as self._pool:
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})

    async def _answer(self, name: str, headers: list[tuple[bytes, bytes]], body: bytes) -> bytes:
        token = next((value[7:] for header, value in headers if header == b"authorization"), None)
        claims = {} if token is None else jwt.decode(token, self._secret_key, algorithms=["HS256"])
        given = json.loads(body)
        if name == "M1":
            keys = [UUID(key) for key in given["productIds"]]
            new_keys = [[uuid7() for _ in keys] for _ in ("items", "parts")]
            values = [uuid7(), UUID(claims["sub"]), *new_keys, keys, [1] * len(keys)]
            text = await self._pool.fetchval(PLACE_ORDER, *values)
        else:
            text = await self._pool.fetchval(READS[name], *map(UUID, given.values()))
        return str(text).encode()


def dsn_of(url: str) -> str:
    """Convert a URL of SQLAlchemy to the form of asyncpg."""
    parsed = make_url(url)
    query = {"sslmode" if name == "ssl" else name: value for name, value in parsed.query.items()}
    return parsed.set(drivername="postgresql", query=query).render_as_string(hide_password=False)


async def _body(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message["body"], message["more_body"]
    return body


async def _leave_as_it_is(_: object) -> None:
    """Skip resetting a returned connection, which has no state to reset."""


if __name__ == "__main__":
    end_with_parent(os.getppid())
    application = Application(dsn_of(os.environ["DATABASE_URL"]), os.environ["SECRET_KEY"])
    uvicorn.run(application, port=int(os.environ["PORT"]), access_log=False, log_level="warning", server_header=False)
