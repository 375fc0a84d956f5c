"""Changes of the catalogue that run at once, each in a transaction that commits."""

from asyncio import create_task, gather
from collections import Counter
from uuid import uuid4

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.db.models import Product
from tests.api import Api
from tests.market import Market, gid
from tests.products.changes import UPDATE, create, create_many, update

DELETE_STORE = "mutation ($id: ID!) { deleteStore(id: $id) { __typename } }"


async def test_a_name_goes_to_one_of_those_who_create_it_at_once(committed_api: Api, committed_market: Market) -> None:
    owner = await committed_market.user()
    store = gid(await committed_market.store(owner))

    answers = await gather(*(create(committed_api, owner, storeId=store, name="Lamp", price="1") for _ in range(5)))

    assert Counter(answer["__typename"] for answer in answers) == {"Product": 1, "Conflict": 4}


async def test_of_batches_with_the_same_names_at_once_one_is_added_whole(
    committed_api: Api, committed_market: Market
) -> None:
    owner = await committed_market.user()
    store = gid(await committed_market.store(owner))
    products = [{"name": str(number), "price": "1"} for number in range(50)]

    answers = await gather(
        *(create_many(committed_api, owner, store, batch) for batch in (products, products[::-1], products))
    )

    assert Counter(answer["__typename"] for answer in answers) == {"ProductBatch": 1, "Conflict": 2}
    assert {answer["field"] for answer in answers if "field" in answer} == {"products.0.name"}


async def test_of_updates_of_one_version_at_once_one_is_made(committed_api: Api, committed_market: Market) -> None:
    owner = await committed_market.user()
    product = await committed_market.product(await committed_market.store(owner), stock=0)

    answers = await gather(
        *(update(committed_api, owner, id=gid(product), stock=number, expectedVersion=1) for number in range(1, 6))
    )

    assert Counter(answer["__typename"] for answer in answers) == {"Product": 1, "StaleVersion": 4}
    (made,) = (answer for answer in answers if answer["__typename"] == "Product")
    now = await committed_market.reload(product)
    assert (now.stock, now.version) == (made["stock"], 2)


async def test_updates_of_different_fields_at_once_are_all_made(committed_api: Api, committed_market: Market) -> None:
    owner = await committed_market.user()
    product = await committed_market.product(await committed_market.store(owner))
    changes = ({"name": "Torch"}, {"stock": 7}, {"description": "Of tin."}, {"price": "2.50"})

    await gather(*(update(committed_api, owner, id=gid(product), **change) for change in changes))

    now = await committed_market.reload(product)
    assert (now.name, now.stock, now.description, str(now.price)) == ("Torch", 7, "Of tin.", "2.50")
    assert now.version == 5


async def test_a_store_is_deleted_while_its_products_are_updated(committed_api: Api, committed_market: Market) -> None:
    owner = await committed_market.user()
    for _ in range(5):
        store = await committed_market.store(owner)
        products = [await committed_market.product(store) for _ in range(4)]

        async def change(product: Product) -> str:
            data = await committed_api.data(UPDATE, {"input": {"id": gid(product), "stock": 1}}, user=owner)
            return str(data["updateProduct"]["__typename"])

        deleted, *updated = await gather(
            committed_api.data(DELETE_STORE, {"id": gid(store)}, user=owner), *(change(product) for product in products)
        )

        assert deleted == {"deleteStore": {"__typename": "Store"}}
        assert set(updated) <= {"Product", "NotFound"}
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

        assert {answer["__typename"] for answer in created} <= {"Product", "NotFound"}

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

    assert await deletion == {"deleteStore": {"__typename": "Store"}}
