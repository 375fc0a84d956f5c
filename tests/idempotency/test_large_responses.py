"""Responses are kept for a day: compressed if they are large, and not at all if they are too large."""

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.models import IdempotencyKey, Order
from app.idempotency.service import Secrets
from app.settings import Settings
from tests.api import Api
from tests.idempotency.requests import is_replay, kept, send
from tests.market import Market, gid
from tests.orders.operations import number_of, stock_of
from tests.paths import Paths

LARGE = "".join(f"d{number}: description " for number in range(16))
STORE = f"stores(first: 1) {{ nodes {{ products(last: 1) {{ nodes {{ {LARGE} }} }} }} }}"
PLACE = f"""mutation ($id: ID!) {{
  placeOrder(input: {{ items: [{{ productId: $id, quantity: 1 }}] }}) {{
    ... on PlaceOrderSuccess {{ order {{ customer {{ {STORE} }} }} }}
  }}
}}"""


async def size_kept(connection: AsyncConnection) -> int:
    """Return how many bytes the one response takes that is kept."""
    response = (await connection.scalars(select(IdempotencyKey.response))).one()
    assert response is not None
    return len(response)


async def test_a_large_response_is_kept_compressed(api: Api, market: Market, connection: AsyncConnection) -> None:
    customer = await market.user()
    product = await market.product(await market.store(customer), description="A lamp. " * 1_000)

    first, again = [await send(api, PLACE, {"id": gid(product)}, user=customer) for _ in range(2)]

    assert len(first.content) > 100_000
    assert (again.content, is_replay(again)) == (first.content, True)
    assert await size_kept(connection) < 15_000


async def test_what_is_too_large_to_be_kept_is_not_done(
    paths: Paths, market: Market, connection: AsyncConnection
) -> None:
    customer = await market.user()
    store = await market.store(customer)
    product = await market.product(store, stock=5)
    for _ in range(7):
        await market.product(store, description="x" * 10_000)
    too_large = PLACE.replace("last: 1", "last: 7")

    for api, left in ((paths.resolver, 5), (paths.compiled, 4)):
        refused = (await send(api, too_large, {"id": gid(product)}, user=customer)).json()
        (error,) = refused["errors"]
        assert refused["data"] is None
        assert error["extensions"] == {"code": "RESPONSE_TOO_LARGE", "limit": 1024 * 1024}
        assert "consistencyToken" not in refused.get("extensions", {}), "it names nothing that is there"
        assert await stock_of(market, product) == left
        assert await kept(connection) == []

        again = await send(api, PLACE, {"id": gid(product)}, user=customer)
        assert ("errors" in again.json(), is_replay(again)) == (False, False)
        await connection.execute(delete(IdempotencyKey))
    assert await number_of(connection, Order) == 2

    response = await paths.compiled.send(too_large, {"id": gid(product)}, user=customer)
    assert len(response.content) > 1024 * 1024  # without a key


async def test_a_response_that_the_previous_version_kept_is_still_read(
    api: Api, market: Market, connection: AsyncConnection, settings: Settings
) -> None:
    """It compressed none, and so is a small one kept now."""
    customer, product = await market.user(), await market.product()
    first = await send(api, PLACE, {"id": gid(product)}, user=customer)
    response = (await connection.scalars(select(IdempotencyKey.response))).one()
    assert response is not None

    assert Secrets.of(settings.secret_keys).cipher.decrypt(response) == first.content
