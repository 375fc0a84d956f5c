"""What the demo and the bulk data share: rows, and how to insert them."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache
from operator import itemgetter
from random import Random
from typing import Any, NamedTuple, TypeAlias
from uuid import UUID

from argon2 import PasswordHasher
from asyncpg import Connection, Record
from sqlalchemy.ext.asyncio import AsyncEngine

from app.db.models import Base, Order, OrderItem, OrderStatus, Product, Store, StoreOrder, StoreOrderStatus, User
from app.db.statements import table_of
from app.orders.numbers import number_of
from app.security.passwords import PARAMETERS
from app.users.demo import DEMO_PASSWORD, SUPERUSER

SETTLING_DAYS = 4
"""The age in days at which an order has its final status; a younger one must be PLACED."""

Driver: TypeAlias = "Connection[Record]"  # SQLAlchemy has no COPY


@dataclass(frozen=True)
class Counts:
    """The number of inserted rows."""

    users: int
    stores: int
    products: int
    orders: int
    order_items: int

    def __str__(self) -> str:
        return (
            f"{self.users:,} users, {self.stores:,} stores, {self.products:,} products, "
            f"{self.orders:,} orders of {self.order_items:,} items"
        )


Row: TypeAlias = dict[str, Any]
"""A row to insert: its columns by name."""


class Purchase(NamedTuple):
    """A purchased quantity of a product, at the price of that day."""

    product_id: UUID
    product_name: str
    store_id: UUID
    currency: str
    unit_price: Decimal
    quantity: int


FILLING_LOCK = 7_034_513  # an arbitrary number that nothing else locks


class NotEmpty(Exception):
    """The database already contains users, stores, products or orders; nothing was added."""


@asynccontextmanager
async def filling(engine: AsyncEngine) -> AsyncIterator[Driver]:
    """Yield a driver connection, for COPY, in a transaction that fills an empty database; NotEmpty otherwise.
    If several processes fill it at once, one does."""
    async with driver_connection(engine) as connection, connection.transaction():
        await connection.execute(f"SELECT pg_advisory_xact_lock({FILLING_LOCK})")
        for model in (User, Store, Product, Order):
            if await connection.fetchval(f"SELECT EXISTS (SELECT FROM {table_of(model).name})"):  # noqa: S608 - our names
                raise NotEmpty
        yield connection


@asynccontextmanager
async def driver_connection(engine: AsyncEngine) -> AsyncIterator[Driver]:
    """Yield a driver connection that commits every statement."""
    async with engine.connect() as connection:
        driver = (await connection.get_raw_connection()).driver_connection
        assert isinstance(driver, Connection)
        yield driver


async def copy(connection: Driver, model: type[Base], rows: Sequence[Row]) -> None:
    """Insert rows with the same columns into the table of the model."""
    if rows:
        table, attributes = table_of(model), [*rows[0]]
        columns = [table.c[attribute].name for attribute in attributes]
        records = map(itemgetter(*attributes), rows)
        await connection.copy_records_to_table(table.name, columns=columns, records=records)


class OrderRows(NamedTuple):
    """The rows of an order: its own, those of its parts, and those of its items."""

    order: Row
    parts: Sequence[Row]
    items: Sequence[Row]


async def copy_orders(connection: Driver, orders: Sequence[OrderRows]) -> int:
    """Insert orders with their parts and items; return the number of items."""
    items = [item for order in orders for item in order.items]
    await copy(connection, Order, [order.order for order in orders])
    await copy(connection, StoreOrder, [part for order in orders for part in order.parts])
    await copy(connection, OrderItem, items)
    return len(items)


def key(random: Random, at: datetime, rank: int = 0) -> UUID:
    """Return a UUIDv7 of this time, in whole milliseconds; keys of the same time sort by rank.

    uuid_utils takes its random bits from the system, so its keys would differ for the same seed."""
    milliseconds = round(at.timestamp() * 1000)
    return UUID(int=milliseconds << 80 | 0x7 << 76 | rank << 64 | 0b10 << 62 | random.getrandbits(62))


@cache
def demo_password_hash() -> str:
    """Return the hash of DEMO_PASSWORD. The salt is constant, so that seeded data is reproducible."""
    return PasswordHasher.from_parameters(PARAMETERS).hash(DEMO_PASSWORD, salt=b"orders-api-demo!")


def row(key: UUID, created_at: datetime, **columns: Any) -> Row:
    """Return a row; without `updated_at`, one that hasn't changed since it was created."""
    return {"id": key, "created_at": created_at, "updated_at": created_at, **columns}


def user_row(random: Random, joined: datetime, email: str, full_name: str) -> Row:
    """Return a user whose password is DEMO_PASSWORD."""
    return row(
        key(random, joined),
        joined,
        email=email,
        full_name=full_name,
        password_hash=demo_password_hash(),
        is_superuser=email == SUPERUSER.email,
    )


def order_rows(
    random: Random, customer: Row, date: datetime, status: OrderStatus, purchases: Sequence[Purchase]
) -> OrderRows:
    """Return an order with its parts and items, with the dates of its status; it takes at most SETTLING_DAYS."""
    order_id = key(random, date)
    # PARTIALLY_FULFILLED needs at least two items.
    shares = {OrderStatus.FULFILLED: 1, OrderStatus.PARTIALLY_FULFILLED: 2}
    fulfilled = len(purchases) // shares[status] if status in shares else 0
    sellers = dict.fromkeys(purchase.store_id for purchase in purchases)
    part_ids = {store_id: key(random, date, rank) for rank, store_id in enumerate(sellers)}
    items = []
    for rank, purchase in enumerate(purchases):
        fulfilled_at = _some_days_after(date, random) if rank < fulfilled else None
        columns = {"updated_at": fulfilled_at or date, "fulfilled_at": fulfilled_at, **purchase._asdict()}
        part_id = part_ids[purchase.store_id]
        items.append(row(key(random, date, rank), date, order_id=order_id, store_order_id=part_id, **columns))
    cancelled_at = _some_days_after(date, random) if status is OrderStatus.CANCELLED else None
    parts = [
        _part_row(order_id, part_id, date, cancelled_at, [item for item in items if item["store_order_id"] == part_id])
        for part_id in part_ids.values()
    ]
    changed = max(part["updated_at"] for part in parts)
    columns = {
        "customer_id": customer["id"],
        "customer_name": customer["full_name"],
        "placed_at": date,
        "status": status,
    }
    order = row(order_id, date, updated_at=changed, number=number_of(random.randbytes(8)), **columns)
    return OrderRows(order, parts, items)


def _part_row(
    order_id: UUID, part_id: UUID, date: datetime, cancelled_at: datetime | None, items: Sequence[Row]
) -> Row:
    """Return the part of an order that has these items."""
    status = StoreOrderStatus.OPEN if cancelled_at is None else StoreOrderStatus.CANCELLED
    if all(item["fulfilled_at"] for item in items):
        status = StoreOrderStatus.FULFILLED
    return row(
        part_id,
        date,
        updated_at=cancelled_at or max(item["updated_at"] for item in items),
        order_id=order_id,
        store_id=items[0]["store_id"],
        placed_at=date,
        status=status,
        total=sum(item["unit_price"] * item["quantity"] for item in items),
        currency=items[0]["currency"],
    )


def _some_days_after(date: datetime, random: Random) -> datetime:
    return date + timedelta(minutes=random.randrange(60, SETTLING_DAYS * 24 * 60))
