"""Changes of the catalogue that run at once, each in a transaction that commits."""

from asyncio import create_task, gather
from collections import Counter
from random import Random
from typing import Any
from uuid import uuid4

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.db.models import Product, User
from tests.api import Api
from tests.locks import deadlocks, held
from tests.market import Market, gid
from tests.orders.operations import cancel, item, place
from tests.products.changes import UPDATE, adjust_stock, create, create_many, set_stock, update, update_many

DELETE_STORE = "mutation ($id: ID!) { deleteStore(input: { id: $id }) { __typename } }"


async def test_a_name_goes_to_one_of_those_who_create_it_at_once(committed_api: Api, committed_market: Market) -> None:
    owner = await committed_market.user()
    store = gid(await committed_market.store(owner))

    answers = await gather(*(create(committed_api, owner, storeId=store, name="Lamp", price="1") for _ in range(5)))

    assert Counter(answer["__typename"] for answer in answers) == {"CreateProductSuccess": 1, "Conflict": 4}


async def test_of_batches_with_the_same_names_at_once_one_is_added_whole(
    committed_api: Api, committed_market: Market
) -> None:
    owner = await committed_market.user()
    store = gid(await committed_market.store(owner))
    products = [{"name": str(number), "price": "1"} for number in range(50)]

    answers = await gather(
        *(create_many(committed_api, owner, store, batch) for batch in (products, products[::-1], products))
    )

    assert Counter(answer["__typename"] for answer in answers) == {"CreateProductsSuccess": 1, "Conflict": 2}
    conflicts = [answer["path"] for answer in answers if answer["__typename"] == "Conflict"]
    assert conflicts == [["input", "products", "0", "name"]] * 2


async def test_of_updates_of_one_version_at_once_one_is_made(committed_api: Api, committed_market: Market) -> None:
    owner = await committed_market.user()
    product = await committed_market.product(await committed_market.store(owner), stock=0)

    answers = await gather(
        *(update(committed_api, owner, id=gid(product), price=number, expectedVersion=1) for number in range(1, 6))
    )

    assert Counter(answer["__typename"] for answer in answers) == {"UpdateProductSuccess": 1, "StaleVersion": 4}
    (made,) = (answer["product"] for answer in answers if answer["__typename"] == "UpdateProductSuccess")
    now = await committed_market.reload(product)
    assert (str(now.price), now.version) == (made["price"]["amount"], 2)
    seen = [answer["current"] for answer in answers if answer["__typename"] == "StaleVersion"]
    assert seen == [made] * 4


async def test_updates_of_different_fields_at_once_are_all_made(committed_api: Api, committed_market: Market) -> None:
    owner = await committed_market.user()
    product = await committed_market.product(await committed_market.store(owner))
    changes = ({"name": "Torch"}, {"description": "Of tin."}, {"price": "2.50"})

    await gather(*(update(committed_api, owner, id=gid(product), **change) for change in changes))

    now = await committed_market.reload(product)
    assert (now.name, now.description, str(now.price)) == ("Torch", "Of tin.", "2.50")
    assert now.version == 4


async def test_every_delta_and_sale_at_once_counts(committed_api: Api, committed_market: Market) -> None:
    random, owner = Random(1), await committed_market.user()
    product = await committed_market.product(await committed_market.store(owner), stock=5)
    customers = [await committed_market.user() for _ in range(20)]
    deltas = [random.randint(-4, 4) for _ in range(40)]

    async def adjust(delta: int) -> int:
        answer = await adjust_stock(committed_api, owner, productId=gid(product), delta=delta)
        assert answer["__typename"] in ("AdjustStockSuccess", "InvalidInput")
        return delta if answer["__typename"] == "AdjustStockSuccess" else 0

    async def buy(customer: User, quantity: int) -> int:
        answer = await place(committed_api, customer, item(product, quantity))
        assert answer["__typename"] in ("PlaceOrderSuccess", "InsufficientStock")
        if answer["__typename"] == "InsufficientStock":
            return 0
        if quantity == 2:
            assert (await cancel(committed_api, customer, answer["order"]["id"]))["order"]["status"] == "CANCELLED"
            return 0
        return -quantity

    operations = [*map(adjust, deltas), *(buy(customer, random.randint(1, 3)) for customer in customers)]
    random.shuffle(operations)
    changes = await gather(*operations)

    now = await committed_market.reload(product)
    assert now.stock == 5 + sum(changes)
    assert now.stock >= 0
    assert now.version == 1
    assert {change for change in changes if change} != set()


async def test_of_counts_that_expect_one_stock_at_once_one_is_set(committed_api: Api, committed_market: Market) -> None:
    owner = await committed_market.user()
    product = await committed_market.product(await committed_market.store(owner), stock=9)

    answers = await gather(
        *(
            set_stock(committed_api, owner, productId=gid(product), stock=number, expectedStock=9)
            for number in range(1, 6)
        )
    )

    assert Counter(answer["__typename"] for answer in answers) == {"SetStockSuccess": 1, "StaleStock": 4}
    (made,) = (answer["product"]["stock"] for answer in answers if answer["__typename"] == "SetStockSuccess")
    assert (await committed_market.reload(product)).stock == made
    assert {answer["currentStock"] for answer in answers if answer["__typename"] == "StaleStock"} == {made}


async def test_a_count_does_not_undo_a_sale_that_it_waited_for(
    committed_api: Api, committed_market: Market, committed_engine: AsyncEngine
) -> None:
    owner = await committed_market.user()
    product = await committed_market.product(await committed_market.store(owner), stock=9)

    async with held(committed_engine, product) as gate:
        sale = create_task(place(committed_api, owner, item(product, 2)))
        await gate.until_waiting(1)
        count = create_task(set_stock(committed_api, owner, productId=gid(product), stock=20, expectedStock=9))
        await gate.until_waiting(2)

    assert (await sale)["__typename"] == "PlaceOrderSuccess"
    stale = await count
    assert (stale["__typename"], stale["currentStock"]) == ("StaleStock", 7)
    assert (await committed_market.reload(product)).stock == 7


async def test_batches_of_the_same_products_at_once_are_made_one_after_the_other(
    committed_api: Api, committed_market: Market, committed_engine: AsyncEngine
) -> None:
    owner = await committed_market.user()
    stores = [await committed_market.store(owner) for _ in range(2)]
    products = [await committed_market.product(store) for store in stores for _ in range(5)]

    async def reprice(price: int, batch: list[Product]) -> Any:
        changes = [{"id": gid(product), "price": price} for product in batch]
        return await update_many(committed_api, owner, *changes)

    with deadlocks() as deadlocked:
        answers = await gather(*(reprice(price, products[:: (-1) ** price]) for price in range(1, 9)))

    assert {answer["__typename"] for answer in answers} == {"UpdateProductsSuccess"}
    rows = [await committed_market.reload(product) for product in products]
    assert len({row.price for row in rows}) == 1
    assert {row.version for row in rows} == {9}
    assert deadlocked == []


async def test_a_store_is_deleted_while_its_products_are_updated(committed_api: Api, committed_market: Market) -> None:
    owner = await committed_market.user()
    for _ in range(5):
        store = await committed_market.store(owner)
        products = [await committed_market.product(store) for _ in range(4)]

        async def change(product: Product) -> str:
            data = await committed_api.data(UPDATE, {"input": {"id": gid(product), "price": 1}}, user=owner)
            return str(data["updateProduct"]["__typename"])

        deleted, *updated = await gather(
            committed_api.data(DELETE_STORE, {"id": gid(store)}, user=owner), *(change(product) for product in products)
        )

        assert deleted == {"deleteStore": {"__typename": "DeleteStoreSuccess"}}
        assert set(updated) <= {"UpdateProductSuccess", "NotFound"}
        assert all([(await committed_market.reload(product)).deleted_at for product in products])


async def test_no_product_is_left_in_a_store_that_is_deleted_while_it_is_added(
    committed_api: Api, committed_market: Market
) -> None:
    owner = await committed_market.user()
    for _ in range(5):
        store = gid(await committed_market.store(owner))

        _, *created = await gather(
            committed_api.data(DELETE_STORE, {"id": store}, user=owner),
            *(create(committed_api, owner, storeId=store, name=str(number), price="1") for number in range(4)),
        )

        assert {answer["__typename"] for answer in created} <= {"CreateProductSuccess", "NotFound"}

    assert await committed_api.data("{ products { totalCount } }") == {"products": {"totalCount": 0}}


async def test_a_deleted_stores_products_are_locked_in_the_order_of_their_keys_as_orders_lock_them(
    committed_api: Api, committed_market: Market, committed_engine: AsyncEngine
) -> None:
    owner = await committed_market.user()
    store = await committed_market.store(owner)
    low, high = sorted([uuid4(), uuid4()])
    for key in (high, low):
        await committed_market.product(store, id=key)
    lock = text("SELECT FROM products WHERE id = :id FOR NO KEY UPDATE NOWAIT")
    waiting = text(
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')"
    )
    observing = committed_engine.execution_options(isolation_level="AUTOCOMMIT")

    async with committed_engine.connect() as order, observing.connect() as observer:
        await order.execute(lock, {"id": low})
        deletion = create_task(committed_api.data(DELETE_STORE, {"id": gid(store)}, user=owner))
        while not deletion.done() and not await observer.scalar(waiting):
            pass
        assert not deletion.done()
        await order.execute(lock, {"id": high})
        await order.rollback()

    assert await deletion == {"deleteStore": {"__typename": "DeleteStoreSuccess"}}


async def test_a_name_that_is_created_while_a_batch_waits_is_a_conflict_of_its_product(
    committed_api: Api, committed_market: Market, committed_engine: AsyncEngine
) -> None:
    owner = await committed_market.user()
    store = await committed_market.store(owner)
    lamp = await committed_market.product(store, name="Lamp")

    async with held(committed_engine, store) as gate:
        created = create_task(create(committed_api, owner, storeId=gid(store), name="Torch", price="1"))
        await gate.until_waiting(1)
        renamed = create_task(update_many(committed_api, owner, {"id": gid(lamp), "name": "Torch"}))
        await gate.until_waiting(2)

    assert (await created)["__typename"] == "CreateProductSuccess"
    assert ((await renamed)["__typename"], (await renamed)["path"]) == ("Conflict", ["input", "products", "0", "name"])
