"""A small marketplace to explore, from `demo.toml`; only its dates depend on when it is created."""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import starmap
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from sqlalchemy.ext.asyncio import AsyncEngine

from app.currencies import in_currency
from app.db.models import OrderStatus, Product, Store, User
from app.users.demo import CUSTOMER, DEMO_ACCOUNTS
from tools import seeding
from tools.seeding import OrderRows, Row

ORDERS = 60
DAY = timedelta(days=1)
FIRST_SIGN_UP = 900 * DAY  # these are times before now
FIRST_OPENING = 700 * DAY
FIRST_ORDER = 360 * DAY
PRICES_ROSE = 150 * DAY


class Article(NamedTuple):
    """A product, priced in its store's currency; `was` is its price until PRICES_ROSE."""

    name: str
    description: str
    price: str
    stock: int | None = None
    was: str | None = None


_DATA = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
CUSTOMERS: Mapping[str, str] = _DATA["customers"]
PEOPLE = {account.email: account.full_name for account in DEMO_ACCOUNTS} | _DATA["shopkeepers"] | CUSTOMERS
SHOPS: Sequence[Mapping[str, Any]] = _DATA["shops"]
"""The columns of each store, with the address of its `owner` and its `articles`."""


class Offer(NamedTuple):
    """A product with its price now and before PRICES_ROSE."""

    product: Row
    earlier_price: Decimal


async def seed_demo(engine: AsyncEngine) -> seeding.Counts:
    """Fill an empty database with the demo, all or nothing; NotEmpty otherwise."""
    random = Random(1)  # noqa: S311 - nothing here is secret
    now = datetime.now(UTC).replace(microsecond=0)
    users = {
        email: seeding.user_row(random, now - FIRST_SIGN_UP + number * 10 * DAY, email, full_name)
        for number, (email, full_name) in enumerate(PEOPLE.items())
    }
    stores = list(_stores(random, now, users))
    shelves = [list(_offers(random, now, shop["articles"], store)) for shop, store in zip(SHOPS, stores, strict=True)]
    products = [offer.product for shelf in shelves for offer in shelf]
    orders = list(_orders(random, now, users, shelves))
    async with seeding.filling(engine) as connection:
        await seeding.copy(connection, User, list(users.values()))
        await seeding.copy(connection, Store, stores)
        await seeding.copy(connection, Product, products)
        items = await seeding.copy_orders(connection, orders)
    return seeding.Counts(len(users), len(stores), len(products), len(orders), items)


def _stores(random: Random, now: datetime, users: Mapping[str, Row]) -> Iterator[Row]:
    for number, shop in enumerate(SHOPS):
        opened = now - FIRST_OPENING + number * 40 * DAY
        columns = {name: value for name, value in shop.items() if name not in ("owner", "articles")}
        columns = {"owner_id": users[shop["owner"]]["id"], "domain": None, "phone": None} | columns
        yield seeding.row(seeding.key(random, opened), opened, **columns)


def _offers(random: Random, now: datetime, articles: Sequence[Sequence[Any]], store: Row) -> Iterator[Offer]:
    """List one article on each day after the store opened."""
    for day, article in enumerate(starmap(Article, articles), start=1):
        listed = store["created_at"] + day * DAY
        product = seeding.row(
            seeding.key(random, listed),
            listed,
            updated_at=now - PRICES_ROSE if article.was else listed,
            store_id=store["id"],
            currency=store["currency"],
            name=article.name,
            description=article.description,
            price=in_currency(Decimal(article.price), store["currency"]),
            stock=article.stock,
            version=2 if article.was else 1,
        )
        yield Offer(product, in_currency(Decimal(article.was or article.price), store["currency"]))


def _orders(
    random: Random, now: datetime, users: Mapping[str, Row], shelves: Sequence[Sequence[Offer]]
) -> Iterator[OrderRows]:
    """Yield orders at an increasing rate; every fourth is the demo customer's."""
    for number in range(ORDERS):
        age = FIRST_ORDER * (1 - number / ORDERS) ** 2 * random.uniform(0.9, 1)
        date = now - timedelta(minutes=age // timedelta(minutes=1))
        customer = CUSTOMER.email if number % 4 == 0 else random.choice(list(CUSTOMERS))
        status = _status(number, age)
        sizes = (2, 3, 4) if status is OrderStatus.PARTIALLY_FULFILLED else (1, 2, 2, 3, 4)
        basket = _basket(random, shelves, random.choice(sizes))
        purchases = [_purchase(random, offer, before_rise=age > PRICES_ROSE) for offer in basket]
        yield seeding.order_rows(random, users[customer], date, status, purchases)


def _status(number: int, age: timedelta) -> OrderStatus:
    """Return the status of an order: a few are cancelled, and some of the last month are partially fulfilled."""
    if age <= seeding.SETTLING_DAYS * DAY:
        return OrderStatus.PLACED
    if number % 9 == 4:
        return OrderStatus.CANCELLED
    return OrderStatus.PARTIALLY_FULFILLED if age < 30 * DAY and number % 2 == 0 else OrderStatus.FULFILLED


def _basket(random: Random, shelves: Sequence[Sequence[Offer]], size: int) -> Sequence[Offer]:
    """Choose different products from one or two stores."""
    visited = random.sample(shelves, random.choice((1, 1, 2)))
    return random.sample([offer for shelf in visited for offer in shelf], size)


def _purchase(random: Random, offer: Offer, *, before_rise: bool) -> seeding.Purchase:
    product = offer.product
    price = offer.earlier_price if before_rise else product["price"]
    return seeding.Purchase(
        product["id"],
        product["name"],
        product["store_id"],
        product["currency"],
        price,
        quantity=random.choice((1, 1, 1, 2, 3)),
    )
