"""Nobody is told of what they may not see, from the start and at each event."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.clients import Client
from app.db.models import User
from app.events.catalog import Topic
from app.graphql.operations.responses import Response
from app.graphql.subscriptions.manager import Read, SubscriptionManager
from app.security.tokens import LEEWAY, AccessTokens
from app.security.viewer import Viewer
from app.settings import Settings
from tests.graphql.subscriptions.clients import connected
from tests.graphql.subscriptions.conftest import Shop
from tests.graphql.subscriptions.operations import ORDER, PART, PLACED, PRODUCT
from tests.market import gid
from tests.orders.operations import cancel, item, place
from tests.orders.store_orders import fulfill
from tests.users.operations import LOG_OUT


@pytest.fixture(params=[False, True], ids=["resolver", "compiled"])
def changed_settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Both paths: what is told is the same, and to whom."""
    return {"compiled_path": request.param}


async def test_another_users_order_is_not_there(shop: Shop) -> None:
    order = await shop.market.order(shop.customer, shop.product)
    stranger = await shop.market.user()
    async with connected(shop.address, shop.token(stranger)) as client:
        await client.subscribe(ORDER, {"id": gid(order)})
        assert await client.refusal() == "NOT_FOUND"
        await client.subscribe(ORDER, {"id": "Order_00000000-0000-7000-8000-000000000000"})
        assert await client.refusal() == "NOT_FOUND"
    await shop.followed(0)


async def test_the_owner_of_a_store_follows_its_part_of_an_order_and_nothing_else_of_it(shop: Shop) -> None:
    elsewhere = await shop.market.product(other := await shop.market.store())
    order = await shop.market.order(shop.customer, shop.product, elsewhere)
    own, others = [await shop.market.store_order(order, store) for store in (shop.store, other)]
    async with connected(shop.address, shop.token(shop.owner)) as client:
        for query, row in ((ORDER, order), (PART, others)):
            await client.subscribe(query, {"id": gid(row)})
            assert await client.refusal() == "NOT_FOUND"
        await client.subscribe(PART, {"id": gid(own)})
        assert (await client.next())["storeOrderUpdated"]["storeOrder"]["id"] == gid(own)


async def test_a_part_of_an_order_is_not_there_for_others(shop: Shop) -> None:
    part = await shop.market.store_order(await shop.market.order(shop.customer, shop.product), shop.store)
    await shop.market.store(stranger := await shop.market.user())
    async with connected(shop.address, shop.token(stranger)) as client:
        for id in (gid(part), "StoreOrder_00000000-0000-7000-8000-000000000000"):
            await client.subscribe(PART, {"id": id})
            assert await client.refusal() == "NOT_FOUND"
    await shop.followed(0)


@pytest.mark.parametrize("query", [ORDER, PART, PLACED])
async def test_who_is_not_logged_in_follows_products_only(shop: Shop, query: str) -> None:
    order = await shop.market.order(shop.customer, shop.product)
    rows = {ORDER: order, PART: await shop.market.store_order(order, shop.store), PLACED: shop.store}
    async with connected(shop.address) as client:
        await client.subscribe(query, {"id": gid(rows[query])})
        assert await client.refusal() == "UNAUTHENTICATED"
        await client.subscribe(PRODUCT, {"id": gid(shop.product)})
        await client.next()


async def test_a_deleted_product_is_refused_to_everyone(shop: Shop) -> None:
    deleted = gid(await shop.market.product(shop.store, deleted_at=datetime.now(UTC)))
    for token in (None, shop.token(shop.owner)):
        async with connected(shop.address, token) as client:
            await client.subscribe(PRODUCT, {"id": deleted})
            assert await client.refusal() == "NOT_FOUND"


async def test_an_id_of_something_else_is_refused(shop: Shop) -> None:
    async with connected(shop.address) as client:
        await client.subscribe(PRODUCT, {"id": gid(shop.store)})
        assert await client.refusal() == "BAD_USER_INPUT"


async def test_each_is_told_of_their_own_orders(shop: Shop) -> None:
    stranger = await shop.market.user()
    own, others = [await shop.market.order(user, shop.product) for user in (shop.customer, stranger)]
    async with (
        connected(shop.address, shop.token(shop.customer)) as first,
        connected(shop.address, shop.token(stranger)) as second,
    ):
        for client, order in ((first, own), (second, others)):
            await client.subscribe(ORDER, {"id": gid(order)})
            assert (await client.next())["orderUpdated"]["order"]["id"] == gid(order)
        await fulfill(shop.api, shop.owner, await shop.market.store_order(own, shop.store))
        assert (await first.next())["orderUpdated"]["order"]["status"] == "FULFILLED"
        await fulfill(shop.api, shop.owner, await shop.market.store_order(others, shop.store))
        assert (await second.next())["orderUpdated"]["order"] == {
            "id": gid(others),
            "status": "FULFILLED",
            "items": [{"quantity": 1, "product": {"name": shop.product.name}}],
        }


async def test_a_store_sees_only_its_own_items(shop: Shop) -> None:
    elsewhere = await shop.market.product(stock=5)
    async with connected(shop.address, shop.token(shop.owner)) as client:
        await client.subscribe(PLACED, {"id": gid(shop.store)})
        await shop.followed(1)
        await place(shop.api, shop.customer, item(elsewhere, 2))
        await place(shop.api, shop.customer, item(elsewhere, 3), item(shop.product, 4))
        assert (await client.next())["storeOrderPlaced"]["storeOrder"]["items"] == [{"quantity": 4}]


async def test_only_who_manages_a_store_is_told_of_its_orders(shop: Shop) -> None:
    superuser = await shop.market.superuser()
    async with connected(shop.address, shop.token(shop.customer)) as client:
        await client.subscribe(PLACED, {"id": gid(shop.store)})
        assert await client.refusal() == "FORBIDDEN"
    async with connected(shop.address, shop.token(superuser)) as client:
        await client.subscribe(PLACED, {"id": gid(shop.store)})
        await shop.followed(1)
        await place(shop.api, shop.customer, item(shop.product, 6))
        assert (await client.next())["storeOrderPlaced"]["storeOrder"]["items"] == [{"quantity": 6}]


async def test_who_is_a_superuser_no_longer_is_told_nothing_more(shop: Shop) -> None:
    superuser = await shop.market.superuser()
    order = await shop.market.order(shop.customer, shop.product)
    async with connected(shop.address, shop.token(superuser)) as client:
        await client.subscribe(ORDER, {"id": gid(order)}, id="order")
        await client.next("order")
        await client.subscribe(PLACED, {"id": gid(shop.store)}, id="store")
        await shop.followed(2)
        await shop.sql("UPDATE users SET is_superuser = false WHERE id = :id", id=superuser.id)
        await cancel(shop.api, shop.customer, gid(order))
        assert (await client.end())["code"] == "NOT_FOUND"
        await place(shop.api, shop.customer, item(shop.product))
        assert await client.refusal() == "FORBIDDEN"
    await shop.followed(0)


async def test_an_account_that_is_closed_is_told_nothing_more(shop: Shop) -> None:
    order = await shop.market.order(shop.customer, shop.product)
    async with connected(shop.address, shop.token(shop.customer)) as client:
        await client.subscribe(ORDER, {"id": gid(order)})
        await client.next()
        await shop.sql("UPDATE users SET deleted_at = now() WHERE id = :id", id=shop.customer.id)
        await fulfill(shop.api, shop.owner, await shop.market.store_order(order, shop.store))
        assert await client.end() == {
            "message": "The session has ended. Log in again.",
            "locations": [{"line": 2, "column": 27}],
            "path": ["orderUpdated"],
            "extensions": {"code": "UNAUTHENTICATED"},
            "code": "UNAUTHENTICATED",
        }


@pytest.mark.parametrize("query", [ORDER, PART])
async def test_an_order_that_is_deleted_ends_the_stream(shop: Shop, query: str) -> None:
    superuser = await shop.market.superuser()
    order = await shop.market.order(shop.customer, shop.product)
    followed = gid(order if query is ORDER else await shop.market.store_order(order, shop.store))
    async with connected(shop.address, shop.token(shop.customer)) as client:
        await client.subscribe(query, {"id": followed})
        await client.next()
        await shop.api.data(
            f'mutation {{ deleteOrder(input: {{ id: "{gid(order)}" }}) {{ __typename }} }}', user=superuser
        )
        assert (await client.end())["code"] == "NOT_FOUND"


def brief_token(settings: Settings, user: User) -> str:
    """Return a token that is good for a second or two."""
    tokens = AccessTokens(settings.secret_keys, timedelta(seconds=2) - LEEWAY)
    return tokens.issue(Viewer(id=user.id), user.id)[0]


@pytest.mark.parametrize("query", [ORDER, PRODUCT])
async def test_a_token_that_expires_ends_the_stream(shop: Shop, settings: Settings, query: str) -> None:
    order = await shop.market.order(shop.customer, shop.product)
    async with connected(shop.address, brief_token(settings, shop.customer)) as client:
        await client.subscribe(query, {"id": gid(order if query is ORDER else shop.product)})
        await client.next()
        error = await client.end()
        assert error["code"] == "UNAUTHENTICATED"
        assert error["message"].startswith("The access token has expired")
        await client.subscribe(ORDER, {"id": gid(order)})
        assert await client.refusal() == "UNAUTHENTICATED"
    await shop.followed(0)


async def test_the_token_may_come_in_the_header(shop: Shop) -> None:
    order = await shop.market.order(shop.customer, shop.product)
    headers = {"Authorization": f"Bearer {shop.token(shop.customer)}"}
    async with connected(shop.address, additional_headers=headers) as client:
        await client.subscribe(ORDER, {"id": gid(order)})
        assert (await client.next())["orderUpdated"]["order"]["id"] == gid(order)


async def test_with_a_token_that_is_no_good_nothing_runs_but_what_is_about_logging_in(shop: Shop) -> None:
    order = await shop.market.order(shop.customer, shop.product)
    async with connected(shop.address, "forged") as client:
        for query, row in ((ORDER, order), (PRODUCT, shop.product)):
            await client.subscribe(query, {"id": gid(row)})
            assert await client.refusal() == "UNAUTHENTICATED"
        await client.subscribe("{ stores { totalCount } }")
        assert await client.refusal() == "UNAUTHENTICATED"
        await client.subscribe(LOG_OUT, {"token": "unknown"})
        assert (await client.next())["logOut"]["wasOpen"] is False
    await shop.followed(0)


async def test_a_token_that_expires_while_events_are_read_ends_the_stream(
    shop: Shop, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = SubscriptionManager.read

    async def slow(manager: SubscriptionManager, client: Client, reading: Read) -> Response | None:
        result = await read(manager, client, reading)
        shop.live.events._notify(Topic("Product", shop.product.id), shop.product.id)
        await asyncio.sleep(0.5)
        return result

    async with connected(shop.address, brief_token(settings, shop.customer)) as client:
        monkeypatch.setattr(SubscriptionManager, "read", slow)
        await client.subscribe(PRODUCT, {"id": gid(shop.product)})
        while (message := await client.receive())["payload"]["data"] is not None:
            pass
        assert message["payload"]["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
