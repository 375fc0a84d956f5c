"""As many stores, products and orders as a benchmark wants: the same ones, keys included, for the same seed."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice
from math import ceil
from random import Random
from typing import NamedTuple, TypeVar
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from app.db.models import Order, OrderItem, OrderStatus, Product, Store, User
from app.db.statements import table_of
from tools.seeding import (
    CUSTOMER,
    DEMO_ACCOUNTS,
    OWNER,
    SETTLING_DAYS,
    SUPERUSER,
    Counts,
    OrderItemRow,
    OrderRow,
    ProductRow,
    Purchase,
    StoreRow,
    UserRow,
    copy,
    copy_orders,
    driver_connection,
    filling,
    key,
    order_rows,
    user_row,
)

T = TypeVar("T")
Progress = Callable[[str, int, int], None]
"""Is told what is being made, how many of them are done, and how many there will be."""

MAX_BATCH = 10_000
REPORTS = 50
CUSTOMER_SHARE = 100  # one order in so many is the demo customer's


class Era(NamedTuple):
    """The time in which one kind of thing is made: after all that it refers to."""

    start: datetime
    end: datetime


TODAY = datetime(2026, 1, 1, tzinfo=UTC)  # not the real one: the data must not depend on it
YEAR = timedelta(days=365)
SIGN_UPS = Era(TODAY - 5 * YEAR, TODAY - 4 * YEAR)
OPENINGS = Era(TODAY - 4 * YEAR, TODAY - 3 * YEAR)
LISTINGS = Era(TODAY - 3 * YEAR, TODAY - 2 * YEAR)
SALES = Era(TODAY - 2 * YEAR, TODAY)
SETTLED = TODAY - timedelta(days=SETTLING_DAYS)

words = str.split
FIRST_NAMES = words("""
    Ada Aoife Bela Chidi Chloé Daan Elif Emre Farah Goran Hana Ines Jakub Jürgen Kaito Leila Linh Maëlle Mateo Mika
    Nadia Noah Olu Paula Priya Rafael Ravi Sanne Siobhán Sofia Søren Tariq Thandi Uma Viktor Wen Ximena Yara Zoë Zofia
""")
LAST_NAMES = words("""
    Abara Andersen Bauer Brâncuș Castillo Dąbrowski Dubois Eriksson Fontana García Haddad Hughes Ito Jansen Kaya
    Keller Kovács Larsen Lopes Mbeki Moreau Müller Nguyen Novák Okafor Petrov Quintero Rao Rossi Sato
    Schmidt Silva Tanaka Urbina Varga Weiß Xu Yılmaz Young Zieliński
""")
PLACES = (  # city, zipcode, country, currency
    ("Lisboa", "1100-148", "PT", "EUR"),
    ("Köln", "50667", "DE", "EUR"),
    ("Nîmes", "30000", "FR", "EUR"),
    ("Cork", "T12 X8YK", "IE", "EUR"),
    ("Utrecht", "3511 AA", "NL", "EUR"),
    ("Bristol", "BS1 4DJ", "GB", "GBP"),
    ("Glasgow", "G1 1XQ", "GB", "GBP"),
    ("Portland", "97205", "US", "USD"),
    ("Chicago", "60602", "US", "USD"),
    ("Austin", "78701", "US", "USD"),
    ("Montréal", "H2Y 1C6", "CA", "CAD"),
    ("Zürich", "8001", "CH", "CHF"),
    ("Göteborg", "411 03", "SE", "SEK"),
    ("Århus", "8000", "DK", "DKK"),
    ("Łódź", "90-001", "PL", "PLN"),
)
TRADES = ("Antiques", "Bazaar", "Emporium", "Goods", "Hardware", "Market", "Outfitters", "Supplies", "Trading", "Works")
ADJECTIVES = words("""
    Antique Bold Bright Calm Classic Clever Compact Cosy Curious Dainty Deep Elegant Faded Fancy Foldable Gentle Giant
    Glossy Handmade Heavy Humble Jolly Light Little Lively Lucky Mellow Modern Naïve Noble Odd Plain Polished Portable
    Quiet Rosé Rugged Rustic Simple Sleek Slim Smooth Soft Spare Sturdy Tall Tidy Tiny Vintage
""")
MATERIALS = words("""
    Acrylic Alabaster Ash Bamboo Beech Birch Brass Bronze Canvas Cashmere Ceramic Cherry Copper Cork Cotton Crêpe
    Denim Enamel Felt Glass Granite Hemp Iron Leather Linen Maple Marble Oak Paper Pewter Pine Porcelain Rattan Silk
    Slate Steel Teak Velvet Walnut Wool
""")
NOUNS = words("""
    Abacus Apron Armchair Backpack Basket Bench Blanket Bookend Bottle Bowl Box Broom Candlestick Carafe Chair Clock
    Coaster Colander Cup Curtain Cushion Desk Dish Doormat Easel Étagère Fan Flask Fork Frame Hammock Hat Hook Jar Jug
    Kettle Kite Ladder Ladle Lamp Lantern Mirror Mug Notebook Pan Pencil Pillow Plate Puzzle Rug Scarf Shelf Spoon
    Stool Tray Umbrella Vase Wallet Whisk Yo-yo
""")
PRAISES = (
    "Made in small batches and checked by hand.",
    "A present that nobody returns.",
    "Lasts longer than the receipt.",
    "Looks best next to another one.",
    "Comes assembled, wrapped and with a spare.",
    "Designed for small kitchens and large plans.",
    "Easy to clean, easy to lend, hard to get back.",
    "Good for every day and better on Sundays.",
)


@dataclass(frozen=True)
class Size:
    """How many to make. A product needs a store, and an order a product."""

    stores: int
    products: int
    orders: int

    def __post_init__(self) -> None:
        if self.stores < 1 or self.products < 1 or self.orders < 0:
            raise ValueError("at least one store and one product are needed")

    @property
    def owners(self) -> int:
        """How many people own the stores, the demo owner included."""
        return 1 + self.stores // 4

    @property
    def customers(self) -> int:
        """How many people order, the demo customer included."""
        return 1 + max(10, self.orders // 20)


class Offer(NamedTuple):
    """What an order must know of a product, and all that is remembered of it."""

    product_id: UUID
    store_id: UUID
    currency: str
    price: Decimal


async def seed_bulk(engine: AsyncEngine, size: Size, seed: int, progress: Progress) -> Counts:
    """Fill an empty database in one transaction, so that nothing is left of an interrupted try; NotEmpty where
    it is not empty."""
    random = Random(seed)  # noqa: S311 - nothing here is secret
    async with filling(engine) as connection:
        users: list[UserRow] = []
        emails = _emails(size)
        for signed_up in _batches("users", len(emails), _sign_ups(random, emails), progress):
            await copy(connection, User, signed_up)
            users += signed_up
        owners, customers = users[1 : 1 + size.owners], users[1 + size.owners :]

        stores: list[StoreRow] = []
        for opened in _batches("stores", size.stores, _openings(random, size.stores, owners), progress):
            await copy(connection, Store, opened)
            stores += opened

        offers: list[Offer] = []
        for listed in _batches("products", size.products, _listings(random, size.products, stores), progress):
            await copy(connection, Product, listed)
            offers += (Offer(product.id, product.store_id, product.currency, product.price) for product in listed)

        items = 0
        for sold in _batches("orders", size.orders, _sales(random, size.orders, customers, offers), progress):
            items += await copy_orders(connection, sold)
    await _vacuum(engine, progress)
    return Counts(len(users), size.stores, size.products, size.orders, items)


def _batches(what: str, total: int, rows: Iterator[T], progress: Progress) -> Iterator[list[T]]:
    """Split the rows; a batch is reported when the next one is asked for, as by then it has been written."""
    size = min(MAX_BATCH, ceil(total / REPORTS))
    done = 0
    while batch := list(islice(rows, size)):
        yield batch
        done += len(batch)
        progress(what, done, total)


async def _vacuum(engine: AsyncEngine, progress: Progress) -> None:
    """Give the planner its statistics, and index-only scans the map they need."""
    tables = [table_of(model).name for model in (User, Store, Product, Order, OrderItem)]
    async with driver_connection(engine) as connection:
        for done, table in enumerate(tables, start=1):
            await connection.execute(f"VACUUM (ANALYZE) {table}")
            progress("vacuumed tables", done, len(tables))


def _emails(size: Size) -> Sequence[str]:
    """Return everybody's address: the superuser's, the owners' and the customers'."""
    owners = (f"owner{number}@example.com" for number in range(1, size.owners))
    customers = (f"customer{number}@example.com" for number in range(1, size.customers))
    return [SUPERUSER.email, OWNER.email, *owners, CUSTOMER.email, *customers]


def _sign_ups(random: Random, emails: Sequence[str]) -> Iterator[UserRow]:
    known = {account.email: account.full_name for account in DEMO_ACCOUNTS}
    for email, joined in zip(emails, _moments(random, SIGN_UPS, len(emails)), strict=True):
        yield user_row(random, joined, email, known.get(email) or _full_name(random))


def _openings(random: Random, count: int, owners: Sequence[UserRow]) -> Iterator[StoreRow]:
    """Open stores for the owners in turn: the first, which sells most, is the demo owner's."""
    for number, opened in enumerate(_moments(random, OPENINGS, count)):
        city, zipcode, country, currency = random.choice(PLACES)
        yield StoreRow(
            id=key(random, opened),
            created_at=opened,
            updated_at=opened,
            owner_id=owners[number % len(owners)].id,
            name=f"{random.choice(ADJECTIVES)} {random.choice(NOUNS)} {random.choice(TRADES)} {number + 1}",
            street=f"{random.choice(LAST_NAMES)} Street {random.randrange(1, 200)}",
            zipcode=zipcode,
            city=city,
            country=country,
            currency=currency,
            domain=f"store-{number + 1}.example.com",
            phone=None,
        )


def _listings(random: Random, count: int, stores: Sequence[StoreRow]) -> Iterator[ProductRow]:
    """Make products, more of them in the first stores; the number at the end makes their names unique."""
    for number, listed in enumerate(_moments(random, LISTINGS, count), start=1):
        store = _mostly_early(random, stores)
        adjective, material, noun = random.choice(ADJECTIVES), random.choice(MATERIALS), random.choice(NOUNS)
        yield ProductRow(
            id=key(random, listed),
            created_at=listed,
            updated_at=listed,
            store_id=store.id,
            currency=store.currency,
            name=f"{adjective} {material} {noun} {number}",
            description=None if random.random() < 0.2 else f"{adjective}, of {material}. {random.choice(PRAISES)}",
            price=_price(random),
            stock=None if random.random() < 0.1 else random.randrange(500),
        )


def _sales(
    random: Random, count: int, customers: Sequence[UserRow], offers: Sequence[Offer]
) -> Iterator[tuple[OrderRow, list[OrderItemRow]]]:
    """Make orders, every CUSTOMER_SHARE-th of the demo customer, of one to five products."""
    for number, date in enumerate(_moments(random, SALES, count)):
        customer = customers[0] if number % CUSTOMER_SHARE == 0 else random.choice(customers)
        chosen = dict.fromkeys(_mostly_early(random, offers) for _ in range(random.randint(1, 5)))
        purchases = [Purchase(*offer, quantity=random.choice((1, 1, 1, 2, 3))) for offer in chosen]
        yield order_rows(random, customer.id, date, _status(random, date, len(purchases)), purchases)


def _moments(random: Random, era: Era, count: int) -> Iterator[datetime]:
    """Return as many times, in whole milliseconds and ascending: a random one of each equal part of the era."""
    part = (era.end - era.start) // timedelta(milliseconds=max(1, count))
    for number in range(count):
        yield era.start + timedelta(milliseconds=number * part + random.randrange(part))


def _mostly_early(random: Random, things: Sequence[T]) -> T:
    """Return one of the things, the first ones several times as often as the last ones."""
    return things[int(len(things) * random.random() ** 1.5)]


def _status(random: Random, date: datetime, items: int) -> OrderStatus:
    """Return a likely status of an order of that date: most old ones are fulfilled."""
    chance = random.random()
    if date > SETTLED or chance < 0.05:
        return OrderStatus.PLACED
    if chance < 0.12:
        return OrderStatus.CANCELLED
    return OrderStatus.PARTIALLY_FULFILLED if chance < 0.2 and items > 1 else OrderStatus.FULFILLED


def _price(random: Random) -> Decimal:
    """Return a price from 1 to 2,000, as likely below 45 as above."""
    return Decimal(round(100 * 2_000 ** random.random())) / 100


def _full_name(random: Random) -> str:
    return f"{random.choice(FIRST_NAMES)} {random.choice(LAST_NAMES)}"
