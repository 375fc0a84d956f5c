"""Two operations meet at one order or product: the second sees what the first has done, whichever it is."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event, func, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from app.db.models import Base, Order, OrderStatus, Product, Session, Store, StoreOrder, StoreOrderStatus, User
from tests.api import Api
from tests.graphql.subscriptions.clients import PATIENCE
from tests.locks import deadlocks, held
from tests.market import Market, gid
from tests.orders.operations import PLACE, cancel, delete, item, place, stock_of
from tests.orders.store_orders import decline, fulfill
from tests.products.changes import adjust_stock, set_stock, update_many
from tests.products.changes import delete as delete_product
from tests.stores.operations import delete as delete_store
from tests.stores.operations import restore as restore_store
from tests.users.operations import DELETE_USER

LOW, HIGH = UUID("01970000-0000-7000-8000-000000000001"), UUID("01970000-0000-7000-8000-000000000002")
PART = "query ($id: ID!) { order(id: $id) { storeOrders { id } } }"


@dataclass
class World:
    """An order of two of a product that had ten, the part of it that is its only one, and who may do something."""

    api: Api
    owner: User
    customer: User
    superuser: User
    store: Store
    product: Product
    order: Order
    part: StoreOrder


Step = Callable[[World], Awaitable[Any]]
STEPS: dict[str, Step] = {
    "cancel": lambda world: cancel(world.api, world.customer, world.order),
    "fulfill": lambda world: fulfill(world.api, world.owner, world.part),
    "decline": lambda world: decline(world.api, world.owner, world.part),
    "delete": lambda world: delete(world.api, world.superuser, world.order),
    "place": lambda world: place(world.api, world.customer, item(world.product, 3)),
    "delete the product": lambda world: delete_product(world.api, world.owner, gid(world.product)),
    "delete the store": lambda world: delete_store(world.api, world.owner, world.store),
}


@pytest.fixture
async def world(committed_api: Api, committed_market: Market) -> World:
    market = committed_market
    owner, customer, superuser = await market.user(), await market.user(), await market.superuser()
    store = await market.store(owner)
    product = await market.product(store, stock=8)
    order = await market.order(customer, product, quantity=2)
    part = await market.store_order(order, store)
    return World(committed_api, owner, customer, superuser, store, product, order, part)


async def one_after_the_other(engine: AsyncEngine, row: Base, world: World, *steps: str) -> list[str]:
    """Begin steps while the row is locked, so that they reach it in this order; return the kinds of their answers."""
    async with asyncio.TaskGroup() as tasks, held(engine, row) as gate:
        begun = []
        for number, step in enumerate(steps, 1):
            begun.append(tasks.create_task(_answer(STEPS[step], world)))
            await gate.until_waiting(number)
    return [task.result()["__typename"] for task in begun]


async def _answer(step: Step, world: World) -> Any:
    return await step(world)


@pytest.mark.parametrize(
    ("first", "second", "answer", "answer_of_second", "status", "status_of_part", "stock"),
    [
        ("cancel", "cancel", "CancelOrderSuccess", "InvalidTransition", "CANCELLED", "CANCELLED", 10),
        ("cancel", "fulfill", "CancelOrderSuccess", "InvalidStoreOrderTransition", "CANCELLED", "CANCELLED", 10),
        ("cancel", "decline", "CancelOrderSuccess", "InvalidStoreOrderTransition", "CANCELLED", "CANCELLED", 10),
        ("cancel", "delete", "CancelOrderSuccess", "DeleteOrderSuccess", "CANCELLED", "CANCELLED", 10),
        ("fulfill", "cancel", "FulfillStoreOrderSuccess", "InvalidTransition", "FULFILLED", "FULFILLED", 8),
        ("fulfill", "fulfill", "FulfillStoreOrderSuccess", "InvalidStoreOrderTransition", "FULFILLED", "FULFILLED", 8),
        ("fulfill", "decline", "FulfillStoreOrderSuccess", "InvalidStoreOrderTransition", "FULFILLED", "FULFILLED", 8),
        ("fulfill", "delete", "FulfillStoreOrderSuccess", "DeleteOrderSuccess", "FULFILLED", "FULFILLED", 8),
        ("decline", "cancel", "DeclineStoreOrderSuccess", "InvalidTransition", "CANCELLED", "DECLINED", 10),
        ("decline", "fulfill", "DeclineStoreOrderSuccess", "InvalidStoreOrderTransition", "CANCELLED", "DECLINED", 10),
        ("decline", "decline", "DeclineStoreOrderSuccess", "InvalidStoreOrderTransition", "CANCELLED", "DECLINED", 10),
        ("decline", "delete", "DeclineStoreOrderSuccess", "DeleteOrderSuccess", "CANCELLED", "DECLINED", 10),
        ("delete", "cancel", "DeleteOrderSuccess", "NotFound", "CANCELLED", "CANCELLED", 10),
        ("delete", "fulfill", "DeleteOrderSuccess", "NotFound", "CANCELLED", "CANCELLED", 10),
        ("delete", "decline", "DeleteOrderSuccess", "NotFound", "CANCELLED", "CANCELLED", 10),
        ("delete", "delete", "DeleteOrderSuccess", "NotFound", "CANCELLED", "CANCELLED", 10),
    ],
)
async def test_of_two_steps_at_once_the_first_decides(
    world: World,
    committed_market: Market,
    committed_engine: AsyncEngine,
    first: str,
    second: str,
    answer: str,
    answer_of_second: str,
    status: str,
    status_of_part: str,
    stock: int,
) -> None:
    answers = await one_after_the_other(committed_engine, world.order, world, first, second)

    assert answers == [answer, answer_of_second]
    assert (await committed_market.reload(world.order)).status == OrderStatus(status)
    assert (await committed_market.reload(world.part)).status == StoreOrderStatus(status_of_part)
    assert await stock_of(committed_market, world.product) == stock


async def test_an_order_that_many_cancel_at_once_gives_its_stock_back_once(
    world: World, committed_market: Market
) -> None:
    answers = await asyncio.gather(*(cancel(world.api, world.customer, world.order) for _ in range(8)))

    assert Counter(answer["__typename"] for answer in answers) == {"CancelOrderSuccess": 1, "InvalidTransition": 7}
    assert await stock_of(committed_market, world.product) == 10


@dataclass
class Two:
    """The part of the world's order that another store sells, and who may do something about it."""

    vintner: User
    wine: Product
    pressed: StoreOrder


@pytest.fixture
async def other(world: World, committed_market: Market) -> Two:
    market, vintner = committed_market, await committed_market.user()
    cellar = await market.store(vintner)
    wine = await market.product(cellar, stock=7)
    await market.item(world.order, wine, quantity=3)
    return Two(vintner, wine, await market.store_order(world.order, cellar))


@pytest.mark.parametrize("order_of_stores", [[0, 1], [1, 0]])
@pytest.mark.parametrize(
    ("steps", "status", "stocks"),
    [
        ((fulfill, fulfill), "FULFILLED", [8, 7]),
        ((fulfill, decline), "FULFILLED", [8, 10]),
        ((decline, fulfill), "FULFILLED", [10, 7]),
        ((decline, decline), "CANCELLED", [10, 10]),
    ],
)
async def test_two_stores_that_finish_their_parts_at_once_finish_the_order(
    world: World,
    other: Two,
    committed_market: Market,
    committed_engine: AsyncEngine,
    steps: tuple[Any, Any],
    status: str,
    stocks: list[int],
    order_of_stores: list[int],
) -> None:
    takes = [
        lambda: steps[0](world.api, world.owner, world.part),
        lambda: steps[1](world.api, other.vintner, other.pressed),
    ]
    with deadlocks() as deadlocked:
        async with asyncio.TaskGroup() as tasks, held(committed_engine, world.order) as gate:
            begun = []
            for number, place_in_line in enumerate(order_of_stores, 1):
                begun.append(tasks.create_task(takes[place_in_line]()))
                await gate.until_waiting(number)

    assert {task.result()["__typename"] for task in begun} <= {"FulfillStoreOrderSuccess", "DeclineStoreOrderSuccess"}
    assert (await committed_market.reload(world.order)).status == OrderStatus(status)
    assert [await stock_of(committed_market, product) for product in (world.product, other.wine)] == stocks
    assert deadlocked == []


async def test_steps_of_one_order_and_changes_of_its_products_at_once_do_not_deadlock(
    world: World, other: Two, committed_market: Market, committed_engine: AsyncEngine
) -> None:
    with deadlocks() as deadlocked:
        await asyncio.gather(
            cancel(world.api, world.customer, world.order),
            fulfill(world.api, world.owner, world.part),
            decline(world.api, other.vintner, other.pressed),
            delete(world.api, world.superuser, world.order),
            place(world.api, world.customer, item(other.wine), item(world.product)),
            adjust_stock(world.api, world.superuser, productId=gid(world.product), delta=1),
            set_stock(world.api, world.superuser, productId=gid(other.wine), stock=50),
            update_many(
                world.api, world.superuser, *({"id": gid(each), "price": "3"} for each in (other.wine, world.product))
            ),
            delete_store(world.api, world.owner, world.store),
        )

    assert deadlocked == []
    await committed_market.reload(world.order)
    parts = [(await committed_market.reload(part)).status for part in (world.part, other.pressed)]
    assert world.order.deleted_at is not None
    assert StoreOrderStatus.OPEN not in parts or StoreOrderStatus.FULFILLED in parts


@pytest.mark.parametrize("removal", ["delete the product", "delete the store"])
async def test_an_order_that_is_first_stands_though_its_product_is_deleted(
    world: World, committed_market: Market, committed_engine: AsyncEngine, removal: str
) -> None:
    placed, removed = await one_after_the_other(committed_engine, world.product, world, "place", removal)

    done = {"delete the product": "DeleteProductSuccess", "delete the store": "DeleteStoreSuccess"}
    assert (placed, removed) == ("PlaceOrderSuccess", done[removal])
    await committed_market.reload(world.product)
    assert world.product.stock == 5
    assert world.product.deleted_at is not None


@pytest.mark.parametrize("removal", ["delete the product", "delete the store"])
async def test_what_is_being_deleted_is_not_found_by_an_order(
    world: World, committed_market: Market, committed_engine: AsyncEngine, removal: str
) -> None:
    _, placed = await one_after_the_other(committed_engine, world.product, world, removal, "place")

    assert placed == "NotFound"
    await committed_market.reload(world.product)
    assert world.product.stock == 8
    assert world.product.deleted_at is not None
    assert await committed_market.session.scalar(select(func.count(Order.id))) == 1


async def test_an_order_has_the_price_and_the_stock_of_the_change_that_it_waited_for(
    world: World, committed_market: Market, committed_engine: AsyncEngine
) -> None:
    async with asyncio.TaskGroup() as tasks, held(committed_engine, world.product) as gate:
        placing = tasks.create_task(_answer(STEPS["place"], world))
        await gate.until_waiting(1)
        await gate.connection.execute(update(Product).values(price=Decimal("99.00"), stock=3))
        await gate.connection.commit()

    assert placing.result()["order"]["items"][0]["unitPrice"]["amount"] == "99.00"
    assert await stock_of(committed_market, world.product) == 0


async def test_whose_session_has_ended_waits_for_no_product(
    world: World, committed_market: Market, committed_engine: AsyncEngine
) -> None:
    """The account is locked and confirmed first, as by every operation, or two could wait for each other."""
    async with committed_engine.begin() as connection:
        await connection.execute(update(Session).values(ended_at=func.now()))
    async with asyncio.timeout(PATIENCE), held(committed_engine, world.product):
        error = await world.api.error(PLACE, {"items": [item(world.product)]}, user=world.customer)
    assert error["code"] == "UNAUTHENTICATED"


async def test_an_order_can_have_the_stock_that_arrives_while_it_waits(
    world: World, committed_market: Market, committed_engine: AsyncEngine
) -> None:
    """Postgres checks that stock isn't negative before it looks whether the row has changed meanwhile."""
    async with committed_engine.begin() as connection:
        await connection.execute(update(Product).values(stock=1))
    async with asyncio.TaskGroup() as tasks, held(committed_engine, world.product) as gate:
        placing = tasks.create_task(_answer(STEPS["place"], world))
        await gate.until_waiting(1)
        await gate.connection.execute(update(Product).values(stock=9))
        await gate.connection.commit()

    assert placing.result()["__typename"] == "PlaceOrderSuccess"
    assert await stock_of(committed_market, world.product) == 6


@pytest.fixture
def reads_rows_as_they_lie(committed_engine: AsyncEngine) -> None:
    """Read no index, which would give the rows in the order of their keys by itself."""

    @event.listens_for(committed_engine.sync_engine, "connect")
    def configure(connection: Any, _: Any) -> None:
        settings = "SET enable_indexscan = off; SET enable_bitmapscan = off"
        connection.run_async(lambda driver: driver.execute(settings))


def _place_both(api: Api, user: User, order: Order, store: Store) -> Awaitable[Any]:
    return place(api, user, item(f"Product_{HIGH}"), item(f"Product_{LOW}"))


def _cancel(api: Api, user: User, order: Order, store: Store) -> Awaitable[Any]:
    return cancel(api, user, order)


def _delete(api: Api, user: User, order: Order, store: Store) -> Awaitable[Any]:
    return delete(api, user, order)


async def _decline(api: Api, user: User, order: Order, store: Store) -> Any:
    part = (await api.data(PART, {"id": gid(order)}, user=user))["order"]["storeOrders"][0]["id"]
    return await decline(api, user, part)


def _update_both(api: Api, user: User, order: Order, store: Store) -> Awaitable[Any]:
    return update_many(api, user, *({"id": f"Product_{key}", "price": "3"} for key in (HIGH, LOW)))


def _restore_store(api: Api, user: User, order: Order, store: Store) -> Awaitable[Any]:
    return restore_store(api, user, store)


def _close_account(api: Api, user: User, order: Order, store: Store) -> Awaitable[Any]:
    return api.data(DELETE_USER, {"id": gid(user)}, user=user)


@pytest.mark.usefixtures("reads_rows_as_they_lie")
@pytest.mark.parametrize(
    "operation", [_place_both, _cancel, _decline, _delete, _update_both, _restore_store, _close_account]
)
async def test_whatever_locks_products_locks_them_in_the_order_of_their_keys(
    committed_api: Api,
    committed_market: Market,
    committed_engine: AsyncEngine,
    operation: Callable[[Api, User, Order, Store], Awaitable[Any]],
) -> None:
    market, user = committed_market, await committed_market.superuser()
    deleted = {"deleted_at": datetime(2026, 1, 1, tzinfo=UTC)} if operation is _restore_store else {}
    store = await market.store(user, **deleted)
    other = await market.store(user) if operation is _close_account else store
    # the rows lie in the other order, and an account closes the store of the higher one first
    high = await market.product(store, id=HIGH, stock=1, **deleted)
    low = await market.product(other, id=LOW, stock=1, **deleted)
    order = await market.order(user, high, low)

    async def answer() -> Any:
        return await operation(committed_api, user, order, store)

    async with asyncio.TaskGroup() as tasks, held(committed_engine, low) as gate:
        tasks.create_task(answer())
        await gate.until_waiting(1)
        lock = select(Product.id).where(Product.id == HIGH).with_for_update(key_share=True, nowait=True)
        assert await gate.connection.scalar(lock) == HIGH
