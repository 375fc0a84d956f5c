"""Whatever is asked to be changed, by whomever: what must hold of the rows still does."""

from collections.abc import AsyncIterator
from random import Random
from typing import Any

import orjson
import pytest
from hypothesis import given
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from starlette.types import ASGIApp

from app.db.models import User
from app.inputs import MAX_STOCK
from app.main import create_app
from app.settings import Settings
from tests.databases import SingleConnection, rolled_back
from tests.fuzz.conftest import Fuzzed, Quiet
from tests.fuzz.contract import Caller, fields
from tests.fuzz.oracle import judge
from tests.fuzz.profile import RANDOMS, tries
from tests.fuzz.requests import request

VIEWERS = ["anonymous", "customer", "owner", "other owner", "idle", "deleted user", "superuser"]
MUTATIONS = fields("Mutation")
# Stock is everybody's to take, and an order is its customer's and those stores' that have items of it.
OTHERS = text(
    """
    SELECT (SELECT md5(string_agg(u::text, ';' ORDER BY u.id)) FROM users u
             WHERE u.id <> :viewer AND u.id = ANY(:users)),
           (SELECT md5(string_agg(s::text, ';' ORDER BY s.id)) FROM stores s WHERE s.owner_id <> :viewer),
           (SELECT md5(string_agg(concat_ws(',', p.id, p.store_id, p.name, p.description, p.price, p.deleted_at), ';'
                                  ORDER BY p.id))
              FROM products p JOIN stores s ON s.id = p.store_id WHERE s.owner_id <> :viewer),
           (SELECT md5(string_agg(o::text, ';' ORDER BY o.id)) FROM orders o
             WHERE o.customer_id <> :viewer AND NOT EXISTS (
                 SELECT FROM order_items i JOIN stores s ON s.id = i.store_id
                  WHERE i.order_id = o.id AND s.owner_id = :viewer)),
           (SELECT md5(string_agg(i::text, ';' ORDER BY i.id)) FROM order_items i
              JOIN stores s ON s.id = i.store_id JOIN orders o ON o.id = i.order_id
             WHERE s.owner_id <> :viewer AND o.customer_id <> :viewer)
    """
)
BROKEN = {
    "stock is negative": "SELECT id FROM products WHERE stock < 0",
    "a price is negative": "SELECT id FROM products WHERE price < 0",
    "an item is of another store": """
        SELECT i.id FROM order_items i JOIN products p ON p.id = i.product_id WHERE p.store_id <> i.store_id""",
    "an order is fulfilled as its items are not": """
        SELECT o.id FROM orders o JOIN order_items i ON i.order_id = o.id WHERE o.created_at > :begun
         GROUP BY o.id, o.status
        HAVING o.status::text = 'FULFILLED' AND bool_or(i.fulfilled_at IS NULL)
            OR o.status::text IN ('PLACED', 'CANCELLED') AND bool_or(i.fulfilled_at IS NOT NULL)""",
    "an order has nothing in it": """
        SELECT o.id FROM orders o WHERE o.created_at > :begun
           AND NOT EXISTS (SELECT FROM order_items i WHERE i.order_id = o.id)""",
}
SUMS = "query ($id: ID!) { order(id: $id) { totals { amount currency } items { lineTotal { amount currency } } } }"


@pytest.fixture
async def connection(pooled: AsyncEngine, fuzzed: Fuzzed) -> AsyncIterator[AsyncConnection]:
    """A connection in a transaction that is rolled back; no stock is larger than the API lets it be."""
    async with rolled_back(pooled) as connection:
        await connection.execute(text(f"UPDATE products SET stock = {MAX_STOCK} WHERE stock > {MAX_STOCK}"))
        yield connection


@pytest.fixture
def app(connection: AsyncConnection, settings: Settings) -> ASGIApp:
    """The application in that transaction."""
    return create_app(settings.model_copy(update={"compiled_path": True}), SingleConnection(connection))


async def rows_of_others(connection: AsyncConnection, fuzzed: Fuzzed, viewer: User | None) -> Any:
    """Return what stands for all that the viewer must not change."""
    key = viewer.id if viewer else "00000000-0000-0000-0000-000000000000"
    users = [user.id for user in fuzzed.population.viewers.values() if user]
    return (await connection.execute(OTHERS, {"viewer": key, "users": users})).one()


async def assert_sound(connection: AsyncConnection, begun: Any, told: object) -> None:
    """Fail where the rows are not what they must be."""
    for what, query in BROKEN.items():
        found = (await connection.execute(text(query), {"begun": begun} if ":begun" in query else {})).all()
        assert not found, (what, found, told)


async def assert_sums(app: ASGIApp, fuzzed: Fuzzed, id: str) -> None:
    """Fail where an order is not worth what its items are."""
    body = orjson.dumps({"query": SUMS, "variables": {"id": id}})
    order = (await request(app, body, headers=fuzzed.headers("superuser"))).json["data"]["order"]
    if order is not None:
        sums: dict[str, int] = {}
        for item in order["items"]:
            amount, currency = item["lineTotal"]["amount"], item["lineTotal"]["currency"]
            sums[currency] = sums.get(currency, 0) + int(amount.replace(".", ""))
        assert {each["currency"]: int(each["amount"].replace(".", "")) for each in order["totals"]} == sums


@tries(170)
@given(random=RANDOMS)
async def test_any_changes_leave_what_must_hold(
    app: ASGIApp, connection: AsyncConnection, fuzzed: Fuzzed, quiet: Quiet, random: Random
) -> None:
    """A few by one viewer, one after the other; all of them are undone."""
    viewer = random.choice(VIEWERS)
    user = fuzzed.population.viewers[viewer]
    begun = (await connection.execute(text("SELECT clock_timestamp()"))).scalar_one()
    undone = await connection.begin_nested()
    try:
        before = await rows_of_others(connection, fuzzed, user)
        told = []
        for _ in range(3):
            document, variables = Caller(random, fuzzed.samples).call(random.choice(MUTATIONS))
            headers = [*fuzzed.headers(viewer)]
            if random.random() < 0.3:
                headers.append((b"idempotency-key", random.choice([b"a-key-of-mine", b"short", b"\xff" * 9])))
            body = orjson.dumps({"query": document, "variables": variables})
            told.append((viewer, document[:60], str(body[-2_000:])))

            reply = await request(app, body, headers=headers)

            quiet(told)
            judge(reply, told)
            result = (reply.json.get("data") or {}).popitem()[1] if reply.json.get("data") else None
            if isinstance(result, dict) and result["__typename"] == "Order":
                await assert_sums(app, fuzzed, result["id"])
        await assert_sound(connection, begun, told)
        if viewer != "superuser":
            assert await rows_of_others(connection, fuzzed, user) == before, told
    finally:
        await undone.rollback()


async def test_what_is_asked_is_often_done(
    app: ASGIApp, connection: AsyncConnection, fuzzed: Fuzzed, quiet: Quiet
) -> None:
    """So that the test above does not look at refusals alone."""
    done = set()
    for seed in range(400):
        random = Random(seed)
        field = random.choice(MUTATIONS)
        document, variables = Caller(random, fuzzed.samples).call(field)
        undone = await connection.begin_nested()
        reply = await request(
            app, orjson.dumps({"query": document, "variables": variables}), headers=fuzzed.headers("superuser")
        )
        await undone.rollback()
        result = (reply.json.get("data") or {}).get(field.name)
        if isinstance(result, dict) and "message" not in result and "NotFound" not in result["__typename"]:
            done.add(field.name)
    assert {"createStore", "createProduct", "placeOrder", "updateProduct", "deleteOrder"} <= done
