"""A market with everything that could make two paths differ: odd texts, deleted rows, nulls, ties, and many viewers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import cycle
from typing import Any
from uuid import UUID

from sqlalchemy import select

from app.db.models import AuditEntry, Base, Order, OrderStatus, Product, Store, StoreOrder, StoreOrderStatus, User
from app.global_ids import global_id
from tests.market import Market, gid

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
LONG_AGO = datetime(3, 2, 1, 4, 5, 6, 7, tzinfo=UTC)
DELETED = datetime(2026, 3, 1, 12, tzinfo=UTC)
NAMES = [
    "Äpfel & Öl",
    'a "quoted" \\ backslashed \\" name',
    '","admin":true,"x":"',
    '"},{"',
    "control \x01 \x1f \b \t \n \r",
    "C1 \u0080 \u009f, lines \u2028 \u2029",
    "emoji 😀 and 漢字 and e\u0301",
    "null",
    "apple 'single' $1 :name %s {} \\u0041 \\x7f",
    "Zebra",
    "apple",
    "</script><!-- & -->",
]
PRICES = {
    "EUR": ["0.00", "9999999999.99", "10.00", "0.01", "1000000.50", "10.00"],
    "USD": ["10.00", "0.10", "9999999999.99"],
    "JPY": ["0", "9999999999", "10", "1800"],
    "KWD": ["0.000", "9999999999.990", "10.000", "0.001", "1.255"],
}
STOCKS = [None, 0, 7, 2**31 - 1]


@dataclass(frozen=True)
class Population:
    """Who asks, and the ids of what there is."""

    viewers: Mapping[str, User | None]
    ids: Mapping[str, tuple[str, ...]]
    numbers: tuple[str, ...]
    """The numbers of the orders."""


async def populate(market: Market) -> Population:
    """Put the rows into the database."""
    owner = await _user(market, full_name='Owner "One" \\ ä')
    other_owner = await _user(market, full_name="Owner\u2028Two")
    customer = await _user(market, full_name='","email":"x')
    idle = await _user(market, full_name="Nobody 漢")
    superuser = await _user(market, full_name="Root\x01", is_superuser=True)
    gone_customer = await _user(market, full_name="Gone", deleted_at=DELETED)
    gone_owner = await _user(market, full_name="Gone owner", deleted_at=DELETED)
    viewers = {
        "anonymous": None,
        "customer": customer,
        "owner": owner,
        "other owner": other_owner,
        "superuser": superuser,
        "deleted user": gone_customer,
        "idle": idle,
    }
    owners = [owner, other_owner, owner, gone_owner, other_owner, owner, owner]
    stores = [await _store(market, number, owner) for number, owner in enumerate(owners)]
    # the last but one is deleted, and the last is empty
    products = [await _product(market, number, store) for store in stores[:-1] for number in range(5)]
    products.append(await market.product(stores[0], name="the last", description="one \x7e two"))
    orders = [
        await _order(market, number, placed_by, products)
        for number, placed_by in enumerate([customer, owner, gone_customer, customer, other_owner, customer] * 2)
    ]
    orders.append(await market.order(customer, number="0000-ZZZZ"))
    items = [
        gid(await market.item(order, product, quantity=10_000))
        for order, product in zip(orders[:3], products[-3:], strict=True)
    ]
    parts = await _decide(market)
    users = [user for user in (*viewers.values(), gone_owner) if user]
    actors = [owner, superuser, None, gone_customer] * 4
    changed = [stores[0], products[0], orders[0], customer, stores[5], None, parts[0], orders[3]] * 2
    entries = [
        await _entry(market, number, actor, entity)
        for number, (actor, entity) in enumerate(zip(actors, changed, strict=True))
    ]
    return Population(
        viewers,
        {
            "User": _ids(users),
            "Store": _ids(stores),
            "Product": _ids(products),
            "Order": _ids(orders),
            "StoreOrder": _ids(parts),
            "OrderItem": (*items, global_id("OrderItem", UUID(int=0))),
            "AuditEntry": _ids(entries),
        },
        tuple(order.number for order in orders),
    )


async def _user(market: Market, full_name: str, **values: Any) -> User:
    address = "".join(character for character in full_name.lower() if character.isascii() and character.isalpha())
    return await market.user(email=f"{address}@market.example", full_name=full_name, **values)


async def _store(market: Market, number: int, owner: User) -> Store:
    currency = list(PRICES)[number % len(PRICES)]
    return await market.store(
        owner,
        name=NAMES[number],
        city=("Berlin", "Zürich", 'C"ity\\')[number % 3],
        country=("DE", "CH")[number % 2],
        currency=currency,
        domain=None if number % 2 else f"shop{number}.example.com",
        phone=None if number % 3 else "+49 30 1234567",
        deleted_at=DELETED if number == 5 else None,
        created_at=EPOCH + timedelta(days=number // 2),
    )


async def _product(market: Market, number: int, store: Store) -> Product:
    index = number + len(store.name)
    prices = PRICES[store.currency]
    return await market.product(
        store,
        name=NAMES[index % len(NAMES)] + str(number),
        description=None if number % 2 else NAMES[(index + 5) % len(NAMES)],
        price=Decimal(prices[index % len(prices)]),
        stock=STOCKS[index % len(STOCKS)],
        deleted_at=DELETED if number == 3 or store.deleted_at else None,
        created_at=LONG_AGO if number == 4 else EPOCH + timedelta(microseconds=number // 2),
    )


async def _order(market: Market, number: int, customer: User, products: list[Product]) -> Order:
    chosen = cycle(products)
    for _ in range(number * 3):
        next(chosen)
    address: dict[str, Any] = {
        "recipient": NAMES[number % len(NAMES)],
        "address_lines": NAMES[: number % 4],
        "city": 'C"ity\\',
        "country": "CH",
        "postcode": None if number % 3 else "8000",
        "phone": "+49 30 1234567" if number % 3 else None,
    }
    return await market.order(
        customer,
        *(next(chosen) for _ in range(number % 5)),
        quantity=number + 1,
        status=list(OrderStatus)[number % 4],
        placed_at=EPOCH + timedelta(hours=number // 3),
        deleted_at=DELETED if number in (3, 7) else None,
        number=f"0000-{number:04}",
        note=NAMES[-number % len(NAMES)] if number % 3 else None,
        **(address if number % 2 else {}),
    )


async def _decide(market: Market) -> Sequence[StoreOrder]:
    """Give the parts of the orders every status, and return them."""
    parts = (await market.session.scalars(select(StoreOrder).order_by(StoreOrder.id))).all()
    for number, part in enumerate(parts):
        part.status = list(StoreOrderStatus)[number % 4]
        if part.status is StoreOrderStatus.DECLINED:
            part.decline_reason = NAMES[number % len(NAMES)]
    await market.session.commit()
    return parts


async def _entry(market: Market, number: int, actor: User | None, entity: Base | None) -> AuditEntry:
    return await market.add(
        AuditEntry(
            actor_id=actor.id if actor else None,
            operation=("updateStore", 'odd "operation" \\', "placeOrder")[number % 3],
            entity_type=type(entity).__name__ if entity else None,
            entity_id=entity.id if entity else None,
            fields=NAMES[: number % 4] if number < 10 else [""],
            request_id=NAMES[number % len(NAMES)],
        )
    )


def _ids(rows: Sequence[Base]) -> tuple[str, ...]:
    kind = type(rows[0]).__name__
    return (*(gid(row) for row in rows), global_id(kind, UUID(int=0)))
