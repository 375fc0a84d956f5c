"""What the demo and the bulk data share: demo accounts, rows, and how to insert them."""

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

from app.db.models import Base, Order, OrderItem, OrderStatus, Product, Store, User
from app.db.statements import table_of

DEMO_PASSWORD = "open-sesame"  # noqa: S105 - not secret: commands print it

SETTLING_DAYS = 4
"""The age in days at which an order has its final status; a younger one must be PLACED."""

Driver: TypeAlias = "Connection[Record]"  # SQLAlchemy has no COPY


class DemoAccount(NamedTuple):
    """An account to log in with, using DEMO_PASSWORD."""

    email: str
    full_name: str
    role: str


SUPERUSER = DemoAccount("superuser@example.com", "Sunniva Overgaard", "superuser")
OWNER = DemoAccount("owner@example.com", "Odile Marchand", "store owner")
CUSTOMER = DemoAccount("customer@example.com", "Cosmo Bellandi", "customer")
DEMO_ACCOUNTS = (SUPERUSER, OWNER, CUSTOMER)


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
        columns = [*rows[0]]
        records = map(itemgetter(*columns), rows)
        await connection.copy_records_to_table(table_of(model).name, columns=columns, records=records)


async def copy_orders(connection: Driver, orders: Sequence[tuple[Row, Sequence[Row]]]) -> int:
    """Insert orders and their items; return the number of items."""
    items = [item for _, items in orders for item in items]
    await copy(connection, Order, [order for order, _ in orders])
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
    return PasswordHasher().hash(DEMO_PASSWORD, salt=b"orders-api-demo!")


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
    random: Random, customer_id: UUID, date: datetime, status: OrderStatus, purchases: Sequence[Purchase]
) -> tuple[Row, list[Row]]:
    """Return an order and its items, with the dates of its status; it takes at most SETTLING_DAYS."""
    order_id = key(random, date)
    # PARTIALLY_FULFILLED needs at least two items.
    shares = {OrderStatus.FULFILLED: 1, OrderStatus.PARTIALLY_FULFILLED: 2}
    fulfilled = len(purchases) // shares[status] if status in shares else 0
    items = []
    for rank, purchase in enumerate(purchases):
        fulfilled_at = _some_days_after(date, random) if rank < fulfilled else None
        columns = {"updated_at": fulfilled_at or date, "fulfilled_at": fulfilled_at, **purchase._asdict()}
        items.append(row(key(random, date, rank), date, order_id=order_id, **columns))
    cancelled = status is OrderStatus.CANCELLED
    changed = _some_days_after(date, random) if cancelled else max(item["updated_at"] for item in items)
    return row(order_id, date, updated_at=changed, customer_id=customer_id, date=date, status=status), items


def _some_days_after(date: datetime, random: Random) -> datetime:
    return date + timedelta(minutes=random.randrange(60, SETTLING_DAYS * 24 * 60))
