"""A small hand-written marketplace to explore; only its dates depend on when it is created."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncEngine

from app.db.models import OrderStatus, Product, Store, User
from tools.seeding import (
    CUSTOMER,
    DEMO_ACCOUNTS,
    DEMO_PASSWORD,
    OWNER,
    SETTLING_DAYS,
    Counts,
    Purchase,
    Row,
    copy,
    copy_orders,
    filling,
    key,
    order_rows,
    row,
    user_row,
)

__all__ = ["DEMO_ACCOUNTS", "DEMO_PASSWORD", "seed_demo"]

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


class Shop(NamedTuple):
    """A store and what it sells."""

    owner: str
    name: str
    street: str
    zipcode: str
    city: str
    country: str
    currency: str
    domain: str | None
    phone: str | None
    articles: tuple[Article, ...]


SHOPKEEPERS = {
    "winona@example.com": "Winona Fairweather",
    "haruka@example.com": "Haruka Mizushiro",
    "elin@example.com": "Elin Dahlbäck",
    "beat@example.com": "Beat Äschlimatt",
}
CUSTOMERS = {
    "aoife@example.com": "Aoife Ní Dhuibhir",
    "mateusz@example.com": "Mateusz Żurawik",
    "ha@example.com": "Nguyễn Thu Hà",
    "folake@example.com": "Fọlákẹ́ Adéwálé",
    "jurgen@example.com": "Jürgen Großkreuter",
    "priya@example.com": "Priya Venkatachari",
    "tomas@example.com": "Tomás Quiñonero",
    "zeynep@example.com": "Zeynep Işıklı",
}
PEOPLE = {account.email: account.full_name for account in DEMO_ACCOUNTS} | SHOPKEEPERS | CUSTOMERS

SHOPS = (
    Shop(
        owner=OWNER.email,
        name="Le Fouet Distrait",
        street="7 rue de l'Œuf Parfait",
        zipcode="69001",
        city="Lyon",
        country="FR",
        currency="EUR",
        domain="le-fouet-distrait.example.com",
        phone="+33 4 65 71 00 12",
        articles=(
            Article("Crème brûlée torch", "Caramelises dessert and frightens the cat.", "34.90", 42, "32.00"),
            Article("Absent-minded whisk", "Once whisked for an hour after the cream was done.", "14.50", 120),
            Article("Soufflé dish, optimistic", "Deep enough for the soufflé that you had in mind.", "22.00", 35),
            Article("Soufflé dish, realistic", "Shallow enough for the soufflé that you will get.", "18.00", 61),
            Article("Pâté knife", "Spreads on toast what others spread as rumours.", "9.80", 200),
            Article("Rolling pin «Le Pacifiste»", "French beech, rounded ends, for pastry only.", "19.90", 48, "18.50"),
            Article("Butter bell", "Keeps butter soft and breakfast peaceful.", "27.50", 0),
            Article("Madeleine tin", "Twelve shells, each holding about one memory.", "21.00", 74),
            Article("Copper jam pan", "Nine litres, or one afternoon among the apricots.", "148.00", 6, "139.00"),
            Article("Recipe book with blank last pages", "The endings are left to the cook.", "24.00"),
        ),
    ),
    Shop(
        owner=OWNER.email,
        name="The Quibbling Kettle",
        street="4 Saucer Row",
        zipcode="BS1 9ZZ",
        city="Bristol",
        country="GB",
        currency="GBP",
        domain="quibbling-kettle.example.com",
        phone="+44 117 496 0142",
        articles=(
            Article("Milk-first teapot", "For those who are right, whatever the others say.", "38.00", 25),
            Article("Milk-last teapot", "The same teapot, with a different leaflet.", "38.00", 25),
            Article("Second-opinion tea strainer", "Catches the leaves that the first strainer let pass.", "7.25", 90),
            Article("Tea cosy, cable knit", "A jumper for the one who is never cold.", "16.50", 33, "15.00"),
            Article("Biscuit rescue tongs", "Retrieve the dunked before it is lost for good.", "5.95", 310),
            Article("Earl Greyish, 100 g", "Bergamot, but it would rather not make a point of it.", "6.40"),
            Article("Lapsang for beginners, 100 g", "Only as smoky as somebody else's bonfire.", "7.10"),
            Article("Debating mugs, set of two", "One says “Actually”, the other “Well, actually”.", "21.00", 58),
            Article("Whistling kettle in B flat", "Tuned, and pleasant until the third minute.", "54.00", 14, "49.50"),
        ),
    ),
    Shop(
        owner=OWNER.email,
        name="Łódź Harbour Supplies",
        street="ul. Sucha 12",
        zipcode="90-001",
        city="Łódź",
        country="PL",
        currency="PLN",
        domain="lodz-harbour.example.com",
        phone=None,
        articles=(
            Article("Inland anchor", "Guaranteed never to drag: the sea is 300 kilometres away.", "249.00", 9),
            Article("Captain's hat, commuter", "Navy wool, with a pocket for the tram ticket.", "119.00", 44, "109.00"),
            Article("Message bottle, refillable", "Includes cork, paper and reasonable expectations.", "35.00", 150),
            Article("Bathtub sextant", "Finds your position between the taps to the nearest tile.", "189.00", 12),
            Article("Żeglarz striped jumper", "Looks like wind, feels like wool.", "159.00", 38),
            Article("Deck chair without deck", "Any floor will do.", "210.00", 17, "195.00"),
            Article("Barometer for pessimists", "Five marks, from rain to more rain.", "139.00", 0),
            Article("Rope, by the fathom", "Knot included, instructions for its removal sold out.", "12.50"),
        ),
    ),
    Shop(
        owner="winona@example.com",
        name="The Reluctant Fern",
        street="318 Drizzle Avenue",
        zipcode="97205",
        city="Portland",
        country="US",
        currency="USD",
        domain="reluctant-fern.example.com",
        phone="+1 503 555 0118",
        articles=(
            Article("Reluctant fern", "Will unfurl when it is ready, and not before.", "18.00", 64),
            Article("Forgiving cactus", "Thrives on holidays, yours.", "12.00", 140, "11.00"),
            Article("Passive-aggressive ivy", "Never asks for water; you will simply know.", "15.50", 52),
            Article("Self-watering pot", "Does the one thing you keep promising.", "26.00", 88, "24.00"),
            Article("Watering can, long-necked", "Reaches the shelf on which the plant is hiding.", "31.00", 29),
            Article("Plant-talk phrase book", "Forty compliments that any Monstera understands.", "14.00"),
            Article("Compost, 10 lb", "Last year's leaves, with more experience.", "9.50", 400),
            Article("Jalapeño seeds, hopeful", "Twenty seeds and the phone number of a dairy.", "3.95", 750),
            Article("Bonsai, almost finished", "Only another thirty years to go.", "85.00", 3),
        ),
    ),
    Shop(
        owner="haruka@example.com",
        name="猫の手文具店 Neko no Te Stationery",
        street="12-3 Fudemachi",
        zipcode="604-0000",
        city="Kyoto",
        country="JP",
        currency="JPY",
        domain="neko-no-te.example.com",
        phone=None,
        articles=(
            Article("Paw-shaped paperweight", "Holds down everything, except the cat.", "1800", 95),
            Article("Notebook «三日坊主»", "Three pages: the exact length of a new habit.", "350", 500),
            Article("Haiku ruler", "Five, then seven, then five centimetres.", "880", 130, "820"),
            Article("Fountain pen, left-pawed", "Ink that dries before the sleeve arrives.", "12500", 18, "11800"),
            Article("Ink «Rainy Platform»", "A grey that has just missed its train.", "2400", 40),
            Article("Eraser of small regrets", "Removes pencil, wine dates and second thoughts.", "220"),
            Article("Washi tape, seven seasons", "The usual four, and three for the weather of late.", "1650", 77),
            Article("Desk shrine for deadlines", "Cedar, with room for one small offering of coffee.", "6800", 11),
            Article("Envelope for unsent letters", "Beautiful paper, no flap.", "450", 260),
        ),
    ),
    Shop(
        owner="elin@example.com",
        name="Nästan Lagom Lampor",
        street="Skymningsgatan 9",
        zipcode="411 03",
        city="Göteborg",
        country="SE",
        currency="SEK",
        domain="nastan-lagom.example.com",
        phone="+46 31 390 06 14",
        articles=(
            Article("Desk lamp «Nästan»", "Almost bright enough, which is just right.", "749.00", 31),
            Article("November lamp", "Pretends that it is May, from three in the afternoon.", "1290.00", 22, "1190.00"),
            Article("Ljusstake with spare darkness", "A candlestick for one candle and some privacy.", "395.00", 57),
            Article("Smörgås spotlight", "Your open sandwich deserves an audience.", "489.00", 19),
            Article("Reading lamp, one more chapter", "Its timer can be ignored seven times.", "899.00", 26),
            Article("Fika lantern", "Glows at ten and at three, with cinnamon or without.", "349.00", 83, "329.00"),
            Article("Dimmer for conversations", "Two settings: cosy, and time to go home.", "215.00", 140),
            Article("Light bulb, already invented", "For those whose ideas come without a sound.", "59.00", 900),
            Article("Lampshade «Självständig»", "Also good as a hat, on Fridays.", "279.00"),
        ),
    ),
    Shop(
        owner="beat@example.com",
        name="Tick, Tack & Töchter",
        street="Minutengasse 60",
        zipcode="8001",
        city="Zürich",
        country="CH",
        currency="CHF",
        domain="tick-tack-toechter.example.com",
        phone=None,
        articles=(
            Article("Cuckoo clock, diplomatic", "The cuckoo knocks before it comes out.", "289.00", 8, "275.00"),
            Article("Alarm clock «Fünf Minuten noch»", "Snoozes by itself and calls your employer.", "64.00", 73),
            Article("Hourglass, 55 minutes", "For meetings that would otherwise have taken an hour.", "42.00", 39),
            Article("Egg timer, neutral", "Takes no side between soft and hard.", "18.50", 160),
            Article("Pocket watch without pocket", "The waistcoat is up to you.", "420.00", 5),
            Article("Wall clock for optimists", "Always has a quarter of an hour left.", "98.00", 24, "92.00"),
            Article("Sundial, indoor", "Accurate near the window.", "76.00", 13),
            Article("Watchmaker's tweezers", "Also retrieve raisins from muesli.", "31.00"),
            Article("Calendar «Übermorgen»", "Knows what to put off until when.", "24.00", 210),
        ),
    ),
    Shop(
        owner="winona@example.com",
        name="Parcel & Pun Post Office",
        street="1 Stampede Street",
        zipcode="97205",
        city="Portland",
        country="US",
        currency="USD",
        domain=None,
        phone="+1 503 555 0163",
        articles=(
            Article("Carrier pigeon whistle", "The pigeon has been informed, and is thinking about it.", "8.75", 105),
            Article("Bubble wrap, pre-popped", "Nothing left to distract you.", "6.00", 340),
            Article("Naïve art postcards, set of 12", "The cows smile, and so will your aunt.", "13.00", 66, "12.00"),
            Article("Return-to-sender stamp", "Works on bills only in spirit.", "17.50", 28),
            Article("Parcel string, sentimental", "Cannot bring itself to be cut.", "4.25"),
            Article("Sealing wax, dramatic red", "Makes any invoice read like a secret.", "11.50", 49),
            Article("Letter opener «En garde»", "Blunt, brass and rather pleased with itself.", "29.00", 15, "27.50"),
            Article("Glue that lets go", "For relationships between papers that need space.", "3.50", 0),
        ),
    ),
)


class Offer(NamedTuple):
    """A product with its price now and before PRICES_ROSE."""

    product: Row
    earlier_price: Decimal


async def seed_demo(engine: AsyncEngine) -> Counts:
    """Fill an empty database with the demo, all or nothing; NotEmpty otherwise."""
    random = Random(1)  # noqa: S311 - nothing here is secret
    now = datetime.now(UTC).replace(microsecond=0)
    users = {user["email"]: user for user in _users(random, now)}
    stores = list(_stores(random, now, users))
    shelves = [list(_offers(random, now, shop, store)) for shop, store in zip(SHOPS, stores, strict=True)]
    products = [offer.product for shelf in shelves for offer in shelf]
    orders = list(_orders(random, now, users, shelves))
    async with filling(engine) as connection:
        await copy(connection, User, list(users.values()))
        await copy(connection, Store, stores)
        await copy(connection, Product, products)
        items = await copy_orders(connection, orders)
    return Counts(len(users), len(stores), len(products), len(orders), items)


def _users(random: Random, now: datetime) -> Iterator[Row]:
    for number, (email, full_name) in enumerate(PEOPLE.items()):
        yield user_row(random, now - FIRST_SIGN_UP + number * 10 * DAY, email, full_name)


def _stores(random: Random, now: datetime, users: Mapping[str, Row]) -> Iterator[Row]:
    for number, shop in enumerate(SHOPS):
        opened = now - FIRST_OPENING + number * 40 * DAY
        columns = {name: value for name, value in shop._asdict().items() if name not in ("owner", "articles")}
        yield row(key(random, opened), opened, owner_id=users[shop.owner]["id"], **columns)


def _offers(random: Random, now: datetime, shop: Shop, store: Row) -> Iterator[Offer]:
    """List one article on each day after the store opened."""
    for day, article in enumerate(shop.articles, start=1):
        listed = store["created_at"] + day * DAY
        product = row(
            key(random, listed),
            listed,
            store_id=store["id"],
            currency=store["currency"],
            name=article.name,
            description=article.description,
            price=Decimal(article.price),
            stock=article.stock,
            version=2 if article.was else 1,
        )
        product["updated_at"] = now - PRICES_ROSE if article.was else listed
        yield Offer(product, Decimal(article.was or article.price))


def _orders(
    random: Random, now: datetime, users: Mapping[str, Row], shelves: Sequence[Sequence[Offer]]
) -> Iterator[tuple[Row, list[Row]]]:
    """Yield orders at an increasing rate; every fourth is the demo customer's."""
    for number in range(ORDERS):
        age = FIRST_ORDER * (1 - number / ORDERS) ** 2 * random.uniform(0.9, 1)
        date = now - timedelta(minutes=age // timedelta(minutes=1))
        customer = CUSTOMER.email if number % 4 == 0 else random.choice(list(CUSTOMERS))
        status = _status(number, age)
        sizes = (2, 3, 4) if status is OrderStatus.PARTIALLY_FULFILLED else (1, 2, 2, 3, 4)
        basket = _basket(random, shelves, random.choice(sizes))
        purchases = [_purchase(random, offer, before_rise=age > PRICES_ROSE) for offer in basket]
        yield order_rows(random, users[customer]["id"], date, status, purchases)


def _status(number: int, age: timedelta) -> OrderStatus:
    """Return the status of an order: a few are cancelled, and some of the last month are partially fulfilled."""
    if age <= SETTLING_DAYS * DAY:
        return OrderStatus.PLACED
    if number % 9 == 4:
        return OrderStatus.CANCELLED
    return OrderStatus.PARTIALLY_FULFILLED if age < 30 * DAY and number % 2 == 0 else OrderStatus.FULFILLED


def _basket(random: Random, shelves: Sequence[Sequence[Offer]], size: int) -> Sequence[Offer]:
    """Choose different products from one or two stores."""
    visited = random.sample(shelves, random.choice((1, 1, 2)))
    return random.sample([offer for shelf in visited for offer in shelf], size)


def _purchase(random: Random, offer: Offer, *, before_rise: bool) -> Purchase:
    product = offer.product
    price = offer.earlier_price if before_rise else product["price"]
    return Purchase(
        product["id"], product["store_id"], product["currency"], price, quantity=random.choice((1, 1, 1, 2, 3))
    )
