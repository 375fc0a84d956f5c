"""Many orders at once, each in a transaction that commits: nothing is sold twice, lost or given back twice."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Iterator, Sequence
from itertools import chain
from random import Random
from typing import Any
from uuid import UUID

import pytest
from asyncpg import DeadlockDetectedError
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from app.db.models import Order, OrderItem, OrderStatus, Product, User
from tests.api import Api
from tests.locks import deadlocks
from tests.market import Market, gid
from tests.orders.operations import cancel, item, number_of, place
from tests.orders.store_orders import fulfill
from tests.products.changes import adjust_stock, update
from tests.stores.operations import delete as delete_store

BUYERS = 64
STOCK = 10
Basket = dict[str, int]


@pytest.fixture
def deadlocked(committed_engine: AsyncEngine) -> Iterator[list[DeadlockDetectedError]]:
    """What Postgres had to end; clients hear nothing of it, as the operation is executed again."""
    with deadlocks() as found:
        yield found


def basket_of(random: Random, products: Sequence[Product]) -> Basket:
    """Return one to three of the products in any order, one to three of each."""
    return {gid(product): random.randint(1, 3) for product in random.sample(products, random.randint(1, 3))}


async def order(api: Api, buyer: User, basket: Basket) -> Any:
    """Order what is in the basket, in its order."""
    return await place(api, buyer, *(item(id, quantity) for id, quantity in basket.items()))


async def in_any_order(random: Random, operations: Sequence[Awaitable[Any]]) -> list[Any]:
    """Run operations at once, begun in any order, and return their answers in the order given."""
    indexes = random.sample(range(len(operations)), len(operations))
    answers = await asyncio.gather(*(operations[index] for index in indexes))
    return [answer for _, answer in sorted(zip(indexes, answers, strict=True), key=lambda pair: pair[0])]


def quantities_of(answers: Sequence[Any]) -> Counter[str]:
    """Return how many of each product the orders that were answered have."""
    items = chain.from_iterable(answer["order"]["items"] for answer in answers)
    return sum((Counter({item["product"]["id"]: item["quantity"]}) for item in items), Counter[str]())


async def quantities_that_stand(engine: AsyncEngine) -> Counter[UUID]:
    """Return how many of each product the orders have that are in the database and not cancelled."""
    quantity = func.sum(OrderItem.quantity).label("quantity")
    statement = select(OrderItem.product_id, quantity).join(Order, Order.id == OrderItem.order_id)
    statement = statement.where(Order.status != OrderStatus.CANCELLED).group_by(OrderItem.product_id)
    async with engine.connect() as connection:
        return Counter({row.product_id: row.quantity for row in await connection.execute(statement)})


async def test_the_last_ten_are_sold_ten_times(
    committed_api: Api, committed_market: Market, committed_engine: AsyncEngine, deadlocked: list[DeadlockDetectedError]
) -> None:
    random = Random(1)
    products = [await committed_market.product(stock=STOCK) for _ in range(4)]
    buyers = [await committed_market.user() for _ in range(BUYERS)]

    answers = await asyncio.gather(
        *(
            order(committed_api, buyer, {gid(product): 1 for product in random.sample(products, len(products))})
            for buyer in buyers
        )
    )

    kinds = Counter(answer["__typename"] for answer in answers)
    assert kinds == {"PlaceOrderSuccess": STOCK, "InsufficientStock": BUYERS - STOCK}
    assert [(await committed_market.reload(product)).stock for product in products] == [0] * 4
    async with committed_engine.connect() as connection:
        assert await number_of(connection, Order) == STOCK
        assert await number_of(connection, OrderItem) == STOCK * 4
    assert deadlocked == []


@pytest.mark.parametrize("seed", [1, 2])
async def test_exactly_as_many_are_sold_as_the_answers_say(
    committed_api: Api,
    committed_market: Market,
    committed_engine: AsyncEngine,
    deadlocked: list[DeadlockDetectedError],
    seed: int,
) -> None:
    random = Random(seed)
    products = [await committed_market.product(stock=STOCK) for _ in range(4)]
    buyers = [await committed_market.user() for _ in range(BUYERS)]
    baskets = [basket_of(random, products) for _ in buyers]

    answers = await asyncio.gather(*(order(committed_api, *pair) for pair in zip(buyers, baskets, strict=True)))

    left = {gid(product): (await committed_market.reload(product)).stock or 0 for product in products}
    placed = [answer for answer in answers if answer["__typename"] == "PlaceOrderSuccess"]
    assert quantities_of(placed) == Counter({id: STOCK - quantity for id, quantity in left.items()})
    stands = await quantities_that_stand(committed_engine)
    assert stands == Counter({product.id: STOCK - left[gid(product)] for product in products})
    for answer, basket in zip(answers, baskets, strict=True):
        if answer["__typename"] == "PlaceOrderSuccess":
            assert quantities_of([answer]) == basket
        else:
            # stock only ever shrank: who was refused would be refused now
            assert answer["__typename"] == "InsufficientStock"
            assert any(left[id] < quantity for id, quantity in basket.items())
    assert deadlocked == []


async def test_orders_are_placed_cancelled_and_fulfilled_while_their_products_change(
    committed_api: Api, committed_market: Market, committed_engine: AsyncEngine, deadlocked: list[DeadlockDetectedError]
) -> None:
    random, api, number, start = Random(1), committed_api, 24, 1000
    owner = await committed_market.user()
    stores = [await committed_market.store(owner) for _ in range(2)]
    products = [await committed_market.product(store, stock=start) for store in stores for _ in range(2)]
    by_id = {gid(product): product for product in products}
    customers = [await committed_market.user() for _ in range(number)]
    baskets = [basket_of(random, products) for _ in range(2 * number)]
    before, after = baskets[:number], baskets[number:]
    earlier = await asyncio.gather(*(order(api, *pair) for pair in zip(customers, before, strict=True)))
    parts = [(index, part["id"]) for index, placed in enumerate(earlier) for part in placed["order"]["storeOrders"]]
    deltas = {id: [random.randint(-5, 5) for _ in range(4)] for id in by_id}

    answers = await in_any_order(
        random,
        [
            *(
                cancel(api, customer, placed["order"]["id"])
                for customer, placed in zip(customers, earlier, strict=True)
            ),
            *(fulfill(api, owner, part) for _, part in parts),
            *(order(api, *pair) for pair in zip(customers, after, strict=True)),
            *(update(api, owner, id=id, price=price) for id in by_id for price in range(1, 5)),
            *(adjust_stock(api, owner, productId=id, delta=delta) for id, each in deltas.items() for delta in each),
        ],
    )

    cancels, answers = answers[:number], answers[number:]
    fulfilments, answers = answers[: len(parts)], answers[len(parts) :]
    later, updates, adjustments = answers[:number], answers[number : number + 16], answers[number + 16 :]
    assert {answer["__typename"] for answer in (*earlier, *later)} == {"PlaceOrderSuccess"}
    assert {answer["__typename"] for answer in updates} == {"UpdateProductSuccess"}
    assert {answer["__typename"] for answer in adjustments} == {"AdjustStockSuccess"}
    for index, cancelled in enumerate(cancels):
        of_parts = [answer for (of, _), answer in zip(parts, fulfilments, strict=True) if of == index]
        if cancelled["__typename"] == "CancelOrderSuccess":
            assert cancelled["order"]["status"] == "CANCELLED"
            assert {answer["status"] for answer in of_parts} == {"CANCELLED"}
        else:
            assert cancelled["status"] in ("PARTIALLY_FULFILLED", "FULFILLED")
            assert {answer["storeOrder"]["status"] for answer in of_parts} == {"FULFILLED"}
    cancelled = [answer for answer in cancels if answer["__typename"] == "CancelOrderSuccess"]
    sold = quantities_of([*earlier, *later]) - quantities_of(cancelled)
    stands = await quantities_that_stand(committed_engine)
    for id, product in by_id.items():
        await committed_market.reload(product)
        assert sold[id] == stands[product.id]
        assert product.stock == start - sold[id] + sum(deltas[id])
        assert product.version == 1 + 4
    assert deadlocked == []


async def test_stores_close_while_their_products_are_ordered(
    committed_api: Api, committed_market: Market, committed_engine: AsyncEngine, deadlocked: list[DeadlockDetectedError]
) -> None:
    random, api = Random(1), committed_api
    owner = await committed_market.user()
    stores = [await committed_market.store(owner) for _ in range(4)]
    products = [await committed_market.product(store, stock=1000) for _ in range(3) for store in stores]
    buyers = [await committed_market.user() for _ in range(32)]

    answers = await in_any_order(
        random,
        [
            *(delete_store(api, owner, store) for store in stores),
            *(order(api, buyer, basket_of(random, products)) for buyer in buyers),
        ],
    )

    closed, ordered = answers[: len(stores)], answers[len(stores) :]
    assert {answer["__typename"] for answer in closed} == {"DeleteStoreSuccess"}
    assert {answer["__typename"] for answer in ordered} <= {"PlaceOrderSuccess", "NotFound"}
    sold = quantities_of([answer for answer in ordered if answer["__typename"] == "PlaceOrderSuccess"])
    assert await quantities_that_stand(committed_engine) == {
        product.id: sold[gid(product)] for product in products if gid(product) in sold
    }
    for product in products:
        await committed_market.reload(product)
        assert product.deleted_at is not None
        assert product.stock == 1000 - sold[gid(product)]
    assert deadlocked == []
