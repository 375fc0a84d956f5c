"""Whatever is asked to be changed, by whomever: what must hold of the rows still does."""

import re
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from random import Random
from typing import Any

import orjson
import pytest
from hypothesis import given
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from starlette.types import ASGIApp

from app.db.models import Base, User
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
STEPS = [field for field in MUTATIONS if field.name.endswith("Order")]
"""Of the life of an order, which are made more often: most of what must hold is of orders."""
# Stock is everybody's to take. An order is its customer's; each part is its store's, too, and the order follows it.
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
             WHERE s.owner_id <> :viewer AND o.customer_id <> :viewer),
           (SELECT md5(string_agg(p::text, ';' ORDER BY p.id)) FROM store_orders p
              JOIN stores s ON s.id = p.store_id JOIN orders o ON o.id = p.order_id
             WHERE s.owner_id <> :viewer AND o.customer_id <> :viewer)
    """
)
EVERYTHING = text(
    "SELECT "
    + ", ".join(
        f"(SELECT md5(string_agg(row::text, ';' ORDER BY row::text)) FROM {table} AS row)"
        for table in sorted(Base.metadata.tables)
    )
)
# What the parts of the order `o` say; those that are given up say nothing.
STATUS = """
    SELECT CASE WHEN bool_and(p.status IN ('DECLINED', 'CANCELLED')) IS NOT FALSE THEN 'CANCELLED'
                WHEN bool_and(p.status <> 'OPEN') THEN 'FULFILLED'
                WHEN EXISTS (SELECT FROM order_items i WHERE i.order_id = o.id AND i.fulfilled_at IS NOT NULL)
                THEN 'PARTIALLY_FULFILLED' ELSE 'PLACED' END
      FROM store_orders p WHERE p.order_id = o.id
"""
# The world shows every status, whatever the parts and items are; what must hold of them holds from here on.
SOUND = (
    f"UPDATE products SET stock = {MAX_STOCK} WHERE stock > {MAX_STOCK}",
    """UPDATE order_items i SET fulfilled_at = now() FROM store_orders p
        WHERE p.id = i.store_order_id AND p.status = 'FULFILLED'""",
    """UPDATE order_items i SET from_stock = false FROM store_orders p
        WHERE p.id = i.store_order_id AND p.status IN ('DECLINED', 'CANCELLED')""",
    f"UPDATE orders o SET status = ({STATUS})",
)
BROKEN = {
    "stock is negative": "SELECT id FROM products WHERE stock < 0",
    "a price is negative": "SELECT id FROM products WHERE price < 0",
    "an item is of another store": """
        SELECT i.id FROM order_items i JOIN products p ON p.id = i.product_id WHERE p.store_id <> i.store_id""",
    "an item is in a part of another order or store": """
        SELECT i.id FROM order_items i JOIN store_orders p ON p.id = i.store_order_id
         WHERE (p.order_id, p.store_id, p.currency) IS DISTINCT FROM (i.order_id, i.store_id, i.currency)""",
    "a part has another total than its items": """
        SELECT p.id FROM store_orders p LEFT JOIN order_items i ON i.store_order_id = p.id
         GROUP BY p.id HAVING p.total IS DISTINCT FROM sum(i.quantity * i.unit_price)""",
    "a part was placed, or deleted, and its order was not": """
        SELECT p.id FROM store_orders p JOIN orders o ON o.id = p.order_id
         WHERE (p.placed_at, p.deleted_at) IS DISTINCT FROM (o.date, o.deleted_at)""",
    "a part is fulfilled, and its items are not": """
        SELECT p.id FROM store_orders p JOIN order_items i ON i.store_order_id = p.id GROUP BY p.id
        HAVING (p.status = 'FULFILLED') <> bool_and(i.fulfilled_at IS NOT NULL)
            OR p.status IN ('DECLINED', 'CANCELLED') AND bool_or(i.fulfilled_at IS NOT NULL)""",
    "a part that was given up holds stock": """
        SELECT i.id FROM order_items i JOIN store_orders p ON p.id = i.store_order_id
         WHERE p.status IN ('DECLINED', 'CANCELLED') AND i.from_stock""",
    "a part has no reason for being declined": """
        SELECT id FROM store_orders WHERE (status = 'DECLINED') <> (decline_reason IS NOT NULL)""",
    "the status of an order does not follow from its parts": f"""
        SELECT o.id FROM orders o WHERE o.status <> ({STATUS})""",
    "an order that is not the world's has nothing in it": """
        SELECT o.id FROM orders o
         WHERE NOT EXISTS (SELECT FROM order_items i WHERE i.order_id = o.id) AND o.number NOT LIKE '0000-%'""",
}
NEW = re.compile(
    r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[\w.-]{40,}|\b[0-9a-f]{32}\b|[0-9A-Z]{4}-[0-9A-Z]{4}|[\dT:.-]{26}\+00:00"
)
"""The ids of what is new, cursors and tokens, numbers of orders, and times."""
SUMS = """
query ($id: ID!) {
  order(id: $id) {
    totals { amount currency } items { ...sum } storeOrders { total { amount currency } items { ...sum } }
  }
}
fragment sum on OrderItem { lineTotal { amount currency } }
"""


@pytest.fixture
async def connection(pooled: AsyncEngine, fuzzed: Fuzzed) -> AsyncIterator[AsyncConnection]:
    """A connection in a transaction that is rolled back, in which all rows are as the API leaves them."""
    async with rolled_back(pooled) as connection:
        for statement in SOUND:
            await connection.execute(text(statement))
        await assert_sound(connection, "at the start")
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


async def everything(connection: AsyncConnection) -> Any:
    """Return what stands for all rows of all tables."""
    return (await connection.execute(EVERYTHING)).one()


async def assert_sound(connection: AsyncConnection, told: object) -> None:
    """Fail where the rows are not what they must be."""
    for what, query in BROKEN.items():
        found = (await connection.execute(text(query))).all()
        assert not found, (what, found, told)


async def assert_sums(app: ASGIApp, fuzzed: Fuzzed, id: str) -> None:
    """Fail where an order is not worth what its items are."""
    body = orjson.dumps({"query": SUMS, "variables": {"id": id}})
    order = (await request(app, body, headers=fuzzed.headers("superuser"))).json["data"]["order"]
    if order is not None:
        assert {each["currency"]: units(each) for each in order["totals"]} == sums_of(order["items"])
        for part in order["storeOrders"]:
            assert {part["total"]["currency"]: units(part["total"])} == sums_of(part["items"])


def units(money: Any) -> int:
    """Return an amount in the smallest unit of its currency."""
    return int(money["amount"].replace(".", ""))


def sums_of(items: Sequence[Any]) -> Mapping[str, int]:
    """Return what items cost together, in the smallest unit of each currency."""
    sums: dict[str, int] = defaultdict(int)
    for item in items:
        sums[item["lineTotal"]["currency"]] += units(item["lineTotal"])
    return sums


@tries(170)
@given(random=RANDOMS)
async def test_any_changes_leave_what_must_hold(
    app: ASGIApp, connection: AsyncConnection, fuzzed: Fuzzed, quiet: Quiet, random: Random
) -> None:
    """A few by one viewer, one after the other; all of them are undone."""
    viewer = random.choice(VIEWERS)
    user = fuzzed.population.viewers[viewer]
    undone = await connection.begin_nested()
    try:
        before = await rows_of_others(connection, fuzzed, user)
        told = []
        for _ in range(3):
            document, variables = Caller(random, fuzzed.samples).call(
                random.choice(MUTATIONS if random.random() < 0.5 else STEPS)
            )
            headers = [*fuzzed.headers(viewer)]
            if random.random() < 0.3:
                headers.append((b"idempotency-key", random.choice([b"a-key-of-mine", b"short", b"\xff" * 9])))
            body = orjson.dumps({"query": document, "variables": variables})
            told.append((viewer, document[:60], str(body[-2_000:])))

            state = await everything(connection)
            reply = await request(app, body, headers=headers)

            quiet(told)
            judge(reply, told)
            result = (reply.json.get("data") or {}).popitem()[1] if reply.json.get("data") else None
            if result is None:
                assert await everything(connection) == state, told  # a root field that is null has done nothing
            elif order := result.get("order"):
                await assert_sums(app, fuzzed, order["id"])
        await assert_sound(connection, told)
        if viewer != "superuser":
            assert await rows_of_others(connection, fuzzed, user) == before, told
    finally:
        await undone.rollback()


@tries(300)
@given(random=RANDOMS)
async def test_any_change_is_answered_alike(
    app: ASGIApp, connection: AsyncConnection, fuzzed: Fuzzed, settings: Settings, quiet: Quiet, random: Random
) -> None:
    """By both paths, refusals included."""
    resolver = create_app(settings.model_copy(update={"compiled_path": False}), SingleConnection(connection))
    document, variables = Caller(random, fuzzed.samples).call(random.choice(MUTATIONS))
    body, headers = orjson.dumps({"query": document, "variables": variables}), fuzzed.headers(random.choice(VIEWERS))
    answers = []
    for each in (resolver, app):
        undone = await connection.begin_nested()
        try:
            reply = await request(each, body, headers=headers)
        finally:
            await undone.rollback()
        quiet(body)
        answers.append((reply.status, reply.body.decode()))

    (status, expected), (compiled_status, compiled) = answers
    assert compiled_status == status, body
    assert without_new(compiled, expected) == without_new(expected, compiled), body


def without_new(answer: str, other: str) -> str:
    """Return an answer without the ids that only it has, and what else is new each time."""

    def replaced(found: re.Match[str]) -> str:
        return found[0] if found[0] in other else "new"

    return NEW.sub(replaced, answer)


async def test_what_is_asked_is_often_done(
    app: ASGIApp, connection: AsyncConnection, fuzzed: Fuzzed, quiet: Quiet
) -> None:
    """So that the test above does not look at refusals alone."""
    done = set()
    for seed in range(600):
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
    assert done >= {
        *("createStore", "createProduct", "placeOrder", "updateProduct", "adjustStock", "setStock"),
        *("fulfillStoreOrder", "declineStoreOrder", "cancelOrder", "deleteOrder"),
    }, done
