"""What happens to a store when two things happen at once."""

import asyncio

from sqlalchemy import func, select

from app.db.models import Product, Store
from tests.api import Api
from tests.market import Market
from tests.stores.operations import create, delete, restore, update


async def test_of_two_updates_of_the_same_version_at_once_one_is_stale(
    committed_api: Api, committed_market: Market
) -> None:
    user = await committed_market.user()
    store = await committed_market.store(user)

    answers = await asyncio.gather(
        *(update(committed_api, user, store, name=name, expectedVersion=1) for name in ("A", "B"))
    )

    assert sorted(answer["__typename"] for answer in answers) == ["StaleVersion", "UpdateStoreSuccess"]
    (winner,) = [answer["store"] for answer in answers if answer["__typename"] == "UpdateStoreSuccess"]
    await committed_market.reload(store)
    assert (store.name, store.version) == (winner["name"], 2)


async def test_updates_of_different_fields_at_once_are_all_kept(committed_api: Api, committed_market: Market) -> None:
    user = await committed_market.user()
    store = await committed_market.store(user)

    await asyncio.gather(
        update(committed_api, user, store, name="A"),
        update(committed_api, user, store, city="Hamburg"),
        update(committed_api, user, store, phone="+49 40 1234567"),
    )

    await committed_market.reload(store)
    assert (store.name, store.city, store.phone, store.version) == ("A", "Hamburg", "+49 40 1234567", 4)


async def test_of_two_stores_of_one_name_at_once_one_is_created(committed_api: Api, committed_market: Market) -> None:
    user = await committed_market.user()

    answers = await asyncio.gather(create(committed_api, user), create(committed_api, user))

    assert sorted(answer["__typename"] for answer in answers) == ["Conflict", "CreateStoreSuccess"]
    assert await committed_market.session.scalar(select(func.count(Store.id))) == 1


async def test_deleted_twice_at_once_a_store_is_deleted_once_and_can_be_restored_whole(
    committed_api: Api, committed_market: Market
) -> None:
    user = await committed_market.user()
    store = await committed_market.store(user)
    await committed_market.product(store)

    answers = await asyncio.gather(delete(committed_api, user, store), delete(committed_api, user, store))
    await restore(committed_api, user, store)

    assert sorted(answer["__typename"] for answer in answers) == ["DeleteStoreSuccess", "NotFound"]
    present = select(func.count(Product.id)).where(Product.deleted_at.is_(None))
    assert await committed_market.session.scalar(present) == 1
