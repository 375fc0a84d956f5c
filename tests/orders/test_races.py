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

from app.db.models import Base, Order, OrderStatus, Product, Store, User
from tests.api import Api
from tests.locks import held
from tests.market import Market, gid
from tests.orders.operations import cancel, delete, fulfil, item, place, stock_of
from tests.products.changes import delete as delete_product
from tests.stores.operations import delete as delete_store
from tests.stores.operations import restore as restore_store
from tests.users.operations import DELETE_USER

LOW, HIGH = UUID("01970000-0000-7000-8000-000000000001"), UUID("01970000-0000-7000-8000-000000000002")


@dataclass
class World:
    """An order of two of a product that had ten, and who may do something about it."""

    api: Api
    owner: User
    customer: User
    superuser: User
    store: Store
    product: Product
    order: Order


Step = Callable[[World], Awaitable[Any]]
STEPS: dict[str, Step] = {
    "cancel": lambda world: cancel(world.api, world.customer, world.order),
    "fulfil": lambda world: fulfil(world.api, world.owner, world.order, world.product),
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
    return World(committed_api, owner, customer, superuser, store, product, order)


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
    ("first", "second", "answer", "answer_of_second", "status", "stock"),
    [
        ("cancel", "cancel", "Order", "InvalidTransition", "CANCELLED", 10),
        ("cancel", "fulfil", "Order", "InvalidTransition", "CANCELLED", 10),
        ("cancel", "delete", "Order", "OrderDeleted", "CANCELLED", 10),
        ("fulfil", "cancel", "Order", "InvalidTransition", "FULFILLED", 8),
        ("fulfil", "fulfil", "Order", "InvalidTransition", "FULFILLED", 8),
        ("fulfil", "delete", "Order", "OrderDeleted", "FULFILLED", 8),
        ("delete", "cancel", "OrderDeleted", "NotFound", "CANCELLED", 10),
        ("delete", "fulfil", "OrderDeleted", "NotFound", "CANCELLED", 10),
        ("delete", "delete", "OrderDeleted", "NotFound", "CANCELLED", 10),
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
    stock: int,
) -> None:
    answers = await one_after_the_other(committed_engine, world.order, world, first, second)

    assert answers == [answer, answer_of_second]
    assert (await committed_market.reload(world.order)).status == OrderStatus(status)
    assert await stock_of(committed_market, world.product) == stock


async def test_an_order_that_many_cancel_at_once_gives_its_stock_back_once(
    world: World, committed_market: Market
) -> None:
    answers = await asyncio.gather(*(cancel(world.api, world.customer, world.order) for _ in range(8)))

    assert Counter(answer["__typename"] for answer in answers) == {"Order": 1, "InvalidTransition": 7}
    assert await stock_of(committed_market, world.product) == 10


async def test_owners_who_fulfil_the_last_two_items_at_once_fulfil_the_order(
    world: World, committed_market: Market, committed_engine: AsyncEngine
) -> None:
    vintner = await committed_market.user()
    wine = await committed_market.product(await committed_market.store(vintner))
    await committed_market.item(world.order, wine)

    async with asyncio.TaskGroup() as tasks, held(committed_engine, world.order) as gate:
        first = tasks.create_task(fulfil(world.api, world.owner, world.order, world.product))
        second = tasks.create_task(fulfil(world.api, vintner, world.order, wine))
        await gate.until_waiting(2)

    statuses = {task.result()["status"] for task in (first, second)}
    assert statuses == {"PARTIALLY_FULFILLED", "FULFILLED"}
    assert (await committed_market.reload(world.order)).status is OrderStatus.FULFILLED


@pytest.mark.parametrize("removal", ["delete the product", "delete the store"])
async def test_an_order_that_is_first_stands_though_its_product_is_deleted(
    world: World, committed_market: Market, committed_engine: AsyncEngine, removal: str
) -> None:
    placed, removed = await one_after_the_other(committed_engine, world.product, world, "place", removal)

    assert (placed, removed) == ("Order", "Product" if removal == "delete the product" else "Store")
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

    assert placing.result()["items"][0]["unitPrice"]["amount"] == "99.00"
    assert await stock_of(committed_market, world.product) == 0


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


def _restore_store(api: Api, user: User, order: Order, store: Store) -> Awaitable[Any]:
    return restore_store(api, user, store)


def _close_account(api: Api, user: User, order: Order, store: Store) -> Awaitable[Any]:
    return api.data(DELETE_USER, {"id": gid(user)}, user=user)


@pytest.mark.usefixtures("reads_rows_as_they_lie")
@pytest.mark.parametrize("operation", [_place_both, _cancel, _delete, _restore_store, _close_account])
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
