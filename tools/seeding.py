"""What the demo and the bulk data share: the accounts to log in with, and the rows and how they are written."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from random import Random
from typing import NamedTuple, TypeAlias
from uuid import UUID

from argon2 import PasswordHasher
from asyncpg import Connection, Record
from sqlalchemy.ext.asyncio import AsyncEngine

from app.db.models import Base, Order, OrderItem, OrderStatus, Product, Store, User
from app.db.statements import table_of

DEMO_PASSWORD = "open-sesame"  # noqa: S105 - no secret: whoever seeds is told it

SETTLING_DAYS = 4
"""After so many days all has happened to an order that is to happen; a younger one must be PLACED."""

Driver: TypeAlias = "Connection[Record]"  # asyncpg's own: SQLAlchemy has no COPY

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class DemoAccount(NamedTuple):
    """Someone to log in as, with DEMO_PASSWORD."""

    email: str
    full_name: str
    role: str


SUPERUSER = DemoAccount("superuser@example.com", "Sunniva Overgaard", "superuser")
OWNER = DemoAccount("owner@example.com", "Odile Marchand", "store owner")
CUSTOMER = DemoAccount("customer@example.com", "Cosmo Bellandi", "customer")
DEMO_ACCOUNTS = (SUPERUSER, OWNER, CUSTOMER)


@dataclass(frozen=True)
class Counts:
    """How many rows were inserted."""

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


class UserRow(NamedTuple):
    """A row of users."""

    id: UUID
    created_at: datetime
    updated_at: datetime
    email: str
    full_name: str
    password_hash: str
    is_superuser: bool


class StoreRow(NamedTuple):
    """A row of stores."""

    id: UUID
    created_at: datetime
    updated_at: datetime
    owner_id: UUID
    name: str
    street: str
    zipcode: str
    city: str
    country: str
    currency: str
    domain: str | None
    phone: str | None


class ProductRow(NamedTuple):
    """A row of products."""

    id: UUID
    created_at: datetime
    updated_at: datetime
    store_id: UUID
    currency: str
    name: str
    description: str | None
    price: Decimal
    stock: int | None
    version: int = 1


class OrderRow(NamedTuple):
    """A row of orders."""

    id: UUID
    created_at: datetime
    updated_at: datetime
    customer_id: UUID
    date: datetime
    status: OrderStatus


class OrderItemRow(NamedTuple):
    """A row of order_items."""

    id: UUID
    created_at: datetime
    updated_at: datetime
    order_id: UUID
    product_id: UUID
    store_id: UUID
    quantity: int
    unit_price: Decimal
    currency: str
    fulfilled_at: datetime | None


Row = UserRow | StoreRow | ProductRow | OrderRow | OrderItemRow


class Purchase(NamedTuple):
    """A product and how much of it someone buys, at the price of that day."""

    product_id: UUID
    store_id: UUID
    currency: str
    unit_price: Decimal
    quantity: int


FILLING_LOCK = 7_034_513  # any constant that nothing else locks


class NotEmpty(Exception):
    """The database holds users, stores, products or orders already, so nothing was added."""


@asynccontextmanager
async def filling(engine: AsyncEngine) -> AsyncIterator[Driver]:
    """Yield a connection of the driver, for COPY, in a transaction that fills an empty database; NotEmpty where
    it is not. Of several that fill it at once, one does."""
    async with driver_connection(engine) as connection, connection.transaction():
        await connection.execute(f"SELECT pg_advisory_xact_lock({FILLING_LOCK})")
        for model in (User, Store, Product, Order):
            if await connection.fetchval(f"SELECT EXISTS (SELECT FROM {table_of(model).name})"):  # noqa: S608 - our names
                raise NotEmpty
        yield connection


@asynccontextmanager
async def driver_connection(engine: AsyncEngine) -> AsyncIterator[Driver]:
    """Yield a connection of the driver, on which every statement stands for itself."""
    async with engine.connect() as connection:
        driver = (await connection.get_raw_connection()).driver_connection
        assert isinstance(driver, Connection)
        yield driver


async def copy(connection: Driver, model: type[Base], rows: Sequence[Row]) -> None:
    """Insert the rows, all of one kind, into the table of the model."""
    if rows:
        await connection.copy_records_to_table(table_of(model).name, columns=rows[0]._fields, records=rows)


async def copy_orders(connection: Driver, orders: Sequence[tuple[OrderRow, Sequence[OrderItemRow]]]) -> int:
    """Insert orders and their items; return how many items they were."""
    items = [item for _, items in orders for item in items]
    await copy(connection, Order, [order for order, _ in orders])
    await copy(connection, OrderItem, items)
    return len(items)


def key(random: Random, at: datetime, rank: int = 0) -> UUID:
    """Return a UUIDv7 of this time, in whole milliseconds; keys of one time are in the order of their rank."""
    milliseconds = (at - _EPOCH) // _MILLISECOND
    return UUID(int=milliseconds << 80 | 0x7 << 76 | rank << 64 | 0b10 << 62 | random.getrandbits(62))


@cache
def demo_password_hash() -> str:
    """Return the hash of DEMO_PASSWORD. Its salt is constant, as all seeded data are."""
    return PasswordHasher().hash(DEMO_PASSWORD, salt=b"orders-api-demo!")


def user_row(random: Random, joined: datetime, email: str, full_name: str) -> UserRow:
    """Return someone whose password is DEMO_PASSWORD."""
    return UserRow(
        key(random, joined), joined, joined, email, full_name, demo_password_hash(), email == SUPERUSER.email
    )


def order_rows(
    random: Random, customer_id: UUID, date: datetime, status: OrderStatus, purchases: Sequence[Purchase]
) -> tuple[OrderRow, list[OrderItemRow]]:
    """Return an order and its items, with the dates at which it came to its status: SETTLING_DAYS suffice."""
    order_id = key(random, date)
    fulfilled = _fulfilled(status, len(purchases))
    items = []
    for rank, purchase in enumerate(purchases):
        fulfilled_at = _some_days_after(date, random) if rank < fulfilled else None
        items.append(
            OrderItemRow(
                id=key(random, date, rank),
                created_at=date,
                updated_at=fulfilled_at or date,
                order_id=order_id,
                product_id=purchase.product_id,
                store_id=purchase.store_id,
                quantity=purchase.quantity,
                unit_price=purchase.unit_price,
                currency=purchase.currency,
                fulfilled_at=fulfilled_at,
            )
        )
    cancelled = status is OrderStatus.CANCELLED
    changed = _some_days_after(date, random) if cancelled else max(item.updated_at for item in items)
    return OrderRow(order_id, date, changed, customer_id, date, status), items


def _fulfilled(status: OrderStatus, items: int) -> int:
    """Return how many of an order's items are fulfilled; PARTIALLY_FULFILLED takes two items or more."""
    return {OrderStatus.FULFILLED: items, OrderStatus.PARTIALLY_FULFILLED: items // 2}.get(status, 0)


def _some_days_after(date: datetime, random: Random) -> datetime:
    return date + timedelta(minutes=random.randrange(60, SETTLING_DAYS * 24 * 60))
