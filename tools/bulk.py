"""Bulk data for benchmarks: any number of stores, products and orders, identical for the same seed, keys included."""

import tomllib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice
from math import ceil
from operator import itemgetter
from pathlib import Path
from random import Random
from typing import TypeVar
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from app.currencies import decimals_of
from app.db.models import Base, Order, OrderItem, OrderStatus, Product, Store, StoreOrder, User
from app.db.statements import table_of
from app.users.demo import CUSTOMER, DEMO_ACCOUNTS, OWNER, SUPERUSER
from tools import seeding
from tools.seeding import OrderRows, Row

T = TypeVar("T")
Offer = tuple[UUID, str, UUID, str, Decimal]
"""What an order needs to know about a product: its id, name, store, currency and price."""
Progress = Callable[[str, int, int], None]  # of what is being created, the number done, and the total

MAX_BATCH = 10_000
REPORTS = 50
CUSTOMER_SHARE = 100  # one in this many orders is the demo customer's


TODAY = datetime(2026, 1, 1, tzinfo=UTC)  # fixed, so that the data doesn't depend on the date
YEAR = timedelta(days=365)
# When each kind of row is created: after the rows that it refers to.
SIGN_UPS = TODAY - 5 * YEAR, TODAY - 4 * YEAR
OPENINGS = TODAY - 4 * YEAR, TODAY - 3 * YEAR
LISTINGS = TODAY - 3 * YEAR, TODAY - 2 * YEAR
SALES = TODAY - 2 * YEAR, TODAY
SETTLED = TODAY - timedelta(days=seeding.SETTLING_DAYS)

_DATA = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
FIRST_NAMES, LAST_NAMES, TRADES, ADJECTIVES, MATERIALS, NOUNS = (
    _DATA[name].split() for name in ("first_names", "last_names", "trades", "adjectives", "materials", "nouns")
)
PLACES, PRAISES = _DATA["places"], _DATA["praises"]


@dataclass(frozen=True)
class Size:
    """The number of rows. A product needs a store, and an order needs a product."""

    stores: int
    products: int
    orders: int

    def __post_init__(self) -> None:
        if self.stores < 1 or self.products < 1 or self.orders < 0:
            raise ValueError("at least one store and one product are needed")

    @property
    def owners(self) -> int:
        """The number of store owners, including the demo owner."""
        return 1 + self.stores // 4

    @property
    def customers(self) -> int:
        """The number of customers, including the demo customer."""
        return 1 + max(10, self.orders // 20)


async def seed_bulk(engine: AsyncEngine, size: Size, seed: int, progress: Progress) -> seeding.Counts:
    """Fill an empty database in one transaction, so that an interrupted run leaves nothing; NotEmpty otherwise."""
    random = Random(seed)  # noqa: S311 - nothing here is secret
    async with seeding.filling(engine) as connection:

        async def inserted(model: type[Base], total: int, rows: Iterator[Row]) -> AsyncIterator[Row]:
            for batch in _batches(table_of(model).name, total, rows, progress):
                await seeding.copy(connection, model, batch)
                for row in batch:
                    yield row

        users = [row async for row in inserted(User, 1 + size.owners + size.customers, _sign_ups(random, size))]
        owners, customers = users[1 : 1 + size.owners], users[1 + size.owners :]
        stores = [row async for row in inserted(Store, size.stores, _openings(random, size.stores, owners))]
        products = inserted(Product, size.products, _listings(random, size.products, stores))
        offer_of = itemgetter("id", "name", "store_id", "currency", "price")
        offers: list[Offer] = [offer_of(product) async for product in products]
        items = 0
        for sold in _batches("orders", size.orders, _sales(random, size.orders, customers, offers), progress):
            items += await seeding.copy_orders(connection, sold)
    await _vacuum(engine, progress)
    return seeding.Counts(len(users), size.stores, size.products, size.orders, items)


def _batches(what: str, total: int, rows: Iterator[T], progress: Progress) -> Iterator[list[T]]:
    """Split rows into batches. Each is reported when the next is requested, by when it has been inserted."""
    size = min(MAX_BATCH, ceil(total / REPORTS))
    done = 0
    while batch := list(islice(rows, size)):
        yield batch
        done += len(batch)
        progress(what, done, total)


async def _vacuum(engine: AsyncEngine, progress: Progress) -> None:
    """Collect statistics for the planner, and the visibility map for index-only scans."""
    tables = [table_of(model).name for model in (User, Store, Product, Order, StoreOrder, OrderItem)]
    async with seeding.driver_connection(engine) as connection:
        for done, table in enumerate(tables, start=1):
            await connection.execute(f"VACUUM (ANALYZE) {table}")
            progress("vacuumed tables", done, len(tables))


def _sign_ups(random: Random, size: Size) -> Iterator[Row]:
    """Yield the superuser, the owners and the customers."""
    owners = (f"owner{number}@example.com" for number in range(1, size.owners))
    customers = (f"customer{number}@example.com" for number in range(1, size.customers))
    emails = [SUPERUSER.email, OWNER.email, *owners, CUSTOMER.email, *customers]
    known = {account.email: account.full_name for account in DEMO_ACCOUNTS}
    for email, joined in zip(emails, _moments(random, SIGN_UPS, len(emails)), strict=True):
        full_name = known.get(email) or f"{random.choice(FIRST_NAMES)} {random.choice(LAST_NAMES)}"
        yield seeding.user_row(random, joined, email, full_name)


def _openings(random: Random, count: int, owners: Sequence[Row]) -> Iterator[Row]:
    """Yield stores, owned by each owner in turn; the first, which sells most, is the demo owner's."""
    for number, opened in enumerate(_moments(random, OPENINGS, count)):
        city, postcode, country, currency = random.choice(PLACES)
        yield seeding.row(
            seeding.key(random, opened),
            opened,
            owner_id=owners[number % len(owners)]["id"],
            name=f"{random.choice(ADJECTIVES)} {random.choice(NOUNS)} {random.choice(TRADES)} {number + 1}",
            street=f"{random.choice(LAST_NAMES)} Street {random.randrange(1, 200)}",
            postcode=postcode,
            city=city,
            country=country,
            currency=currency,
            domain=f"store-{number + 1}.example.com",
            phone=None,
        )


def _listings(random: Random, count: int, stores: Sequence[Row]) -> Iterator[Row]:
    """Yield products, more of them in the first stores; a number makes each name unique."""
    for number, listed in enumerate(_moments(random, LISTINGS, count), start=1):
        store = _mostly_early(random, stores)
        adjective, material, noun = random.choice(ADJECTIVES), random.choice(MATERIALS), random.choice(NOUNS)
        yield seeding.row(
            seeding.key(random, listed),
            listed,
            store_id=store["id"],
            currency=store["currency"],
            name=f"{adjective} {material} {noun} {number}",
            description=None if random.random() < 0.2 else f"{adjective}, of {material}. {random.choice(PRAISES)}",
            price=_price(random, store["currency"]),
            stock=None if random.random() < 0.1 else random.randrange(500),
        )


def _price(random: Random, currency: str) -> Decimal:
    """Return a price of 1 to 2,000, as likely below 45 as above."""
    return Decimal(2_000 ** random.random()).quantize(Decimal(1).scaleb(-decimals_of(currency)))


def _sales(random: Random, count: int, customers: Sequence[Row], offers: Sequence[Offer]) -> Iterator[OrderRows]:
    """Yield orders of one to five products; every CUSTOMER_SHARE-th is the demo customer's."""
    for number, date in enumerate(_moments(random, SALES, count)):
        customer = customers[0] if number % CUSTOMER_SHARE == 0 else random.choice(customers)
        chosen = dict.fromkeys(_mostly_early(random, offers) for _ in range(random.randint(1, 5)))
        purchases = [seeding.Purchase(*offer, quantity=random.choice((1, 1, 1, 2, 3))) for offer in chosen]
        yield seeding.order_rows(random, customer, date, _status(random, date, len(purchases)), purchases)


def _moments(random: Random, era: tuple[datetime, datetime], count: int) -> Iterator[datetime]:
    """Yield ascending times in whole milliseconds: a random one in each equal part of the era."""
    start, end = era
    part = (end - start) // timedelta(milliseconds=max(1, count))
    for number in range(count):
        yield start + timedelta(milliseconds=number * part + random.randrange(part))


def _mostly_early(random: Random, things: Sequence[T]) -> T:
    """Return a random item; the first ones are several times as likely as the last ones."""
    return things[int(len(things) * random.random() ** 1.5)]


def _status(random: Random, date: datetime, items: int) -> OrderStatus:
    """Return a plausible status for an order of that date: most old ones are fulfilled."""
    chance = random.random()
    if date > SETTLED or chance < 0.05:
        return OrderStatus.PLACED
    if chance < 0.12:
        return OrderStatus.CANCELLED
    return OrderStatus.PARTIALLY_FULFILLED if chance < 0.2 and items > 1 else OrderStatus.FULFILLED
