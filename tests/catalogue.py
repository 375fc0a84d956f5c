"""A catalogue so large that Postgres reads it through indexes, if it can."""

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.db import pagination
from app.db.models import User
from app.settings import Settings
from tests.api import Api
from tests.worlds import shared_world

USERS = """
INSERT INTO users (id, email, full_name, password_hash)
SELECT gen_random_uuid(), kind || number || '@catalogue.example', 'User ' || number, '-'
FROM (VALUES ('owner', 10), ('customer', 40), ('visitor', 5000)) AS people (kind, count),
  generate_series(1, count) AS number
"""
STORES = """
INSERT INTO stores (id, owner_id, name, street, zipcode, city, country, currency, created_at)
SELECT gen_random_uuid(), owner.id, 'Store ' || number, 'Main Street 1', '10115',
       CASE number % 50 WHEN 0 THEN 'Köln' ELSE 'Berlin' END, CASE number % 50 WHEN 0 THEN 'CH' ELSE 'DE' END, 'EUR',
       timestamptz '2025-01-01Z' + number * interval '1 hour'
FROM (SELECT id, row_number() OVER () AS place FROM users WHERE email LIKE 'owner%@catalogue.example') AS owner,
     generate_series(1, 2000) AS number
WHERE owner.place = number % 10 + 1
"""
PRODUCTS = """
INSERT INTO products (id, store_id, currency, name, description, price, stock, created_at)
SELECT gen_random_uuid(), store.id, 'EUR', 'Product ' || number,
       CASE WHEN number % 100 = 0 THEN 'A rarity: ' ELSE '' END || repeat(md5(number::text) || ' ', 10),
       number % 150, number % 3, timestamptz '2026-01-01Z' + number * interval '1 hour'
FROM (SELECT id FROM stores LIMIT 100) AS store, generate_series(1, 201) AS number
"""
ORDERS = """
INSERT INTO orders (id, customer_id, customer_name, date, status)
SELECT gen_random_uuid(), customer.id, customer.full_name, timestamptz '2026-02-01Z' + number * interval '1 minute',
       CASE WHEN number % 20 = 0 THEN 'PLACED' ELSE 'FULFILLED' END
FROM (SELECT *, row_number() OVER () AS place FROM users WHERE email LIKE 'customer%@catalogue.example') AS customer,
     generate_series(1, 20100) AS number
WHERE customer.place = number % 40 + 1
"""
ITEMS = """
WITH sold AS (
    SELECT ordered.id AS order_id, ordered.date, ordered.status, product.id AS product_id, product.store_id,
           product.name, product.price, product.currency
    FROM (SELECT *, row_number() OVER () AS place FROM orders) AS ordered
    CROSS JOIN (VALUES (0), (7000), (14000)) AS other (place)
    JOIN (SELECT *, row_number() OVER (ORDER BY md5(id::text)) AS place FROM products) AS product
      ON product.place = (ordered.place + other.place) % 20100 + 1
),
parts AS (
    INSERT INTO store_orders (id, order_id, store_id, placed_at, status, total, currency)
    SELECT gen_random_uuid(), order_id, store_id, date, CASE status WHEN 'PLACED' THEN 'OPEN' ELSE status END,
           sum(price), currency
    FROM sold GROUP BY order_id, store_id, date, status, currency
    RETURNING id, order_id, store_id
)
INSERT INTO order_items
    (id, order_id, store_order_id, product_id, product_name, store_id, quantity, unit_price, currency)
SELECT gen_random_uuid(), order_id, parts.id, product_id, name, store_id, 1, price, currency
FROM sold JOIN parts USING (order_id, store_id)
"""

STORE = "SELECT store_id, owner_id FROM products JOIN stores ON stores.id = store_id LIMIT 1"
EMPTY_STORE = "SELECT id FROM stores WHERE id NOT IN (SELECT store_id FROM products) LIMIT 1"


@dataclass(frozen=True)
class Catalogue:
    """Two thousand stores, of which a hundred have two hundred products each, twenty thousand orders of three products
    each, and five thousand users."""

    connection: AsyncConnection
    api: Api
    store: str
    """One that has products and orders."""
    empty_store: str
    """One that has neither."""
    number: str
    """The number of an order."""
    owner: User
    """Of that store and others."""
    customer: User
    superuser: User

    def user(self, role: str) -> User | None:
        """Return who has this role."""
        return {"owner": self.owner, "customer": self.customer, "superuser": self.superuser}.get(role)

    async def far_cursor(self, page: str, role: str = "anonymous", **variables: Any) -> str:
        """Return the cursor of the hundredth row from the end of what a query pages through: on page 1,001 of all
        products, and of all orders."""
        data = await self.api.data(page, {"last": 100, **variables}, user=self.user(role))
        (connection,) = data.values()
        cursor: str = connection["pageInfo"]["startCursor"]
        return cursor


LOOKED_AT = 1_000


@contextmanager
def looked_at_as_in_a_larger_one() -> Iterator[None]:
    """Let searches look at as small a part of the catalogue as of one that is ten times as large: Postgres would rather
    sort the whole table than read half of it in the order of an index."""
    with ExitStack() as patches:
        for bound in ("MOST_RANKED", "MOST_LOOKED_AT", "MOST_COUNTED"):
            patches.enter_context(patch.object(pagination, bound, LOOKED_AT))
        yield


@asynccontextmanager
async def opened_catalogue(engine: AsyncEngine, settings: Settings) -> AsyncIterator[Catalogue]:
    """Fill a database with the catalogue, and undo it at the end."""
    async with shared_world(engine, settings) as world:
        connection, market = world.connection, world.market
        for rows in (USERS, STORES, PRODUCTS, ORDERS, ITEMS):
            await connection.execute(text(rows))
            # What is planned as for the empty tables before may join each row with each.
            await connection.execute(text("ANALYZE users, stores, products, orders, store_orders, order_items"))
        store, owner = (await connection.execute(text(STORE))).one()
        empty = await connection.scalar(text(EMPTY_STORE))
        number = await connection.scalar(text("SELECT number FROM orders LIMIT 1"))
        customer = await connection.scalar(text("SELECT customer_id FROM orders LIMIT 1"))
        session = market.session
        yield Catalogue(
            connection,
            world.api,
            f"Store_{store}",
            f"Store_{empty}",
            str(number),
            owner=await session.get_one(User, owner),
            customer=await session.get_one(User, customer),
            superuser=await market.superuser(),
        )
