"""A catalogue so large that Postgres reads it through indexes, if it can."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.models import User
from app.settings import Settings
from tests.api import Api
from tests.worlds import shared_world

STORES = """
INSERT INTO stores (id, owner_id, name, street, zipcode, city, country, currency, created_at)
SELECT gen_random_uuid(), :owner, 'Store ' || number, 'Main Street 1', '10115',
       CASE number % 50 WHEN 0 THEN 'Köln' ELSE 'Berlin' END, CASE number % 50 WHEN 0 THEN 'CH' ELSE 'DE' END, 'EUR',
       timestamptz '2025-01-01Z' + number * interval '1 hour'
FROM generate_series(1, 2000) AS number
"""
PRODUCTS = """
INSERT INTO products (id, store_id, currency, name, description, price, stock, created_at)
SELECT gen_random_uuid(), store.id, 'EUR', 'Product ' || number,
       CASE WHEN number % 100 = 0 THEN 'A rarity: ' ELSE '' END || repeat(md5(number::text) || ' ', 10),
       number % 150, number % 3, timestamptz '2026-01-01Z' + number * interval '1 hour'
FROM (SELECT id FROM stores LIMIT 100) AS store, generate_series(1, 201) AS number
"""
CUSTOMERS = """
INSERT INTO users (id, email, full_name, password_hash)
SELECT gen_random_uuid(), 'customer' || number || '@catalogue.example', 'Customer ' || number, '-'
FROM generate_series(1, 40) AS number
"""
ORDERS = """
INSERT INTO orders (id, customer_id, date, status)
SELECT gen_random_uuid(), customer.id, timestamptz '2026-02-01Z' + number * interval '1 minute',
       CASE WHEN number % 20 = 0 THEN 'PLACED' ELSE 'FULFILLED' END
FROM (SELECT id, row_number() OVER () AS place FROM users WHERE email LIKE '%@catalogue.example') AS customer,
     generate_series(1, 20100) AS number
WHERE customer.place = number % 40 + 1
"""
ITEMS = """
INSERT INTO order_items (id, order_id, product_id, store_id, quantity, unit_price, currency)
SELECT gen_random_uuid(), ordered.id, product.id, product.store_id, 1, product.price, product.currency
FROM (SELECT id, row_number() OVER () AS place FROM orders) AS ordered
CROSS JOIN (VALUES (0), (7000), (14000)) AS other (place)
JOIN (SELECT *, row_number() OVER (ORDER BY md5(id::text)) AS place FROM products) AS product
  ON product.place = (ordered.place + other.place) % 20100 + 1
"""


@dataclass(frozen=True)
class Catalogue:
    """Two thousand stores, of which a hundred have two hundred products each, and twenty thousand orders."""

    connection: AsyncConnection
    api: Api
    store: str
    """One that has products."""
    owner: User
    """Of all stores."""
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


@asynccontextmanager
async def opened_catalogue(engine: AsyncEngine, settings: Settings) -> AsyncIterator[Catalogue]:
    """Fill a database with the catalogue, and undo it at the end."""
    async with shared_world(engine, settings) as world:
        connection, market = world.connection, world.market
        owner, superuser = await market.user(), await market.superuser()
        await connection.execute(text(STORES), {"owner": owner.id})
        for rows in (PRODUCTS, CUSTOMERS, ORDERS, ITEMS):
            await connection.execute(text(rows))
        await connection.execute(text("ANALYZE users, stores, products, orders, order_items"))
        store = await connection.scalar(text("SELECT store_id FROM products LIMIT 1"))
        customer_id = await connection.scalar(text("SELECT customer_id FROM orders LIMIT 1"))
        customer = await market.session.get_one(User, customer_id)
        yield Catalogue(connection, world.api, f"Store_{store}", owner, customer, superuser)
