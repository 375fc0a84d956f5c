"""Nobody may ask for more than their share within a time; and counting it takes neither memory nor service away."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import httpx2
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from app.clients import network, site
from app.errors import RateLimited
from app.graphql.http.endpoint import _quota_headers
from app.graphql.operations import rate_limits as rates
from app.graphql.operations.rate_limits import Memory, RateLimit, RateLimits
from app.main import create_app
from app.security.viewer import Viewer
from app.settings import Settings
from tests.api import Api
from tests.databases import SingleConnection
from tests.market import Market, gid
from tests.statements import Statements

ADDRESS = "192.0.2.7"


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(rates, "time", clock)
    return clock


async def test_so_much_may_be_taken_and_no_more(clock: Clock) -> None:
    limit = RateLimit("points", "100/minute", "")

    left = [await limit.take("a", amount) for amount in (1, 60, 39)]

    assert [quota and quota.remaining for quota in left] == [99, 39, 0]
    with pytest.raises(RateLimited) as refused:
        await limit.take("a", 1)
    assert refused.value.extensions["retryAfter"] == 60


async def test_what_is_refused_leaves_the_rest_to_others(clock: Clock) -> None:
    limit = RateLimit("points", "100/minute", "")
    await limit.take("a", 60)
    with pytest.raises(RateLimited) as refused:
        await limit.take("a", 41)

    assert refused.value.remaining == 40
    assert await limit.take("a", 40) == (100, 60, 0, 60)


async def test_what_is_too_much_for_any_window_is_not_to_be_retried(clock: Clock) -> None:
    with pytest.raises(RateLimited, match=r"1,001\. Request less") as refused:
        await RateLimit("points", "100/minute", "").take("a", 1_001)

    assert refused.value.retry_after is None
    assert refused.value.extensions == {
        "code": "RATE_LIMIT_EXCEEDED",
        "limit": 100,
        "window": 60,
        "remaining": 100,
        "requested": 1_001,
    }


async def test_what_one_takes_is_not_taken_from_another(clock: Clock) -> None:
    limit = RateLimit("points", "100/minute", "")
    with pytest.raises(RateLimited):
        await limit.take("a", 101)

    quota = await limit.take("b", 100)

    assert quota == (100, 60, 0, 60)


async def test_after_its_time_there_is_as_much_again(clock: Clock) -> None:
    limit = RateLimit("points", "100/minute", "")
    await limit.take("a", 100)
    clock.now += 59
    with pytest.raises(RateLimited):
        await limit.take("a", 1)

    clock.now += 1
    quota = await limit.take("a", 1)

    assert quota == (100, 60, 99, 60)


async def test_what_costs_nothing_counts_all_the_same(clock: Clock) -> None:
    quota = await RateLimit("points", "100/minute", "").take("a", 0)

    assert quota == (100, 60, 99, 60)


def test_the_headers_are_those_of_the_standard() -> None:
    assert _quota_headers(rates.Quota(100, 60, 99, 7)) == [
        (b"ratelimit-policy", b'"points";q=100;w=60'),
        (b"ratelimit", b'"points";r=99;t=7'),
    ]


async def test_a_user_has_a_share_of_their_own_wherever_they_are(settings: Settings) -> None:
    limits = RateLimits(settings.model_copy(update={"rate_limit": "10/hour"}))
    user, other = Viewer(id=uuid4(), is_superuser=False), Viewer(id=uuid4(), is_superuser=True)
    await limits.take(10, user, ADDRESS)

    for viewer in (None, other):
        await limits.take(10, viewer, ADDRESS)

    for address in (ADDRESS, "192.0.2.8"):
        with pytest.raises(RateLimited):
            await limits.take(1, user, address)


async def test_without_a_limit_nothing_is_counted(settings: Settings) -> None:
    limits = RateLimits(settings)

    assert await limits.take(1_000_000, None, ADDRESS) is None
    await limits.attempt(ADDRESS)


@pytest.mark.parametrize(
    ("address", "counted_as"),
    [
        ("192.0.2.7", ("192.0.2.7", "192.0.2.7")),
        ("::ffff:192.0.2.7", ("192.0.2.7", "192.0.2.7")),
        ("2001:db8:1:2:3:4:5:6", ("2001:db8:1:2::", "2001:db8:1::")),
        ("2001:db8:1:2:ffff::", ("2001:db8:1:2::", "2001:db8:1::")),
        ("a name", ("", "")),
        ("010.2.2.2", ("", "")),
        ("", ("", "")),
    ],
)
def test_an_address_stands_for_a_customer(address: str, counted_as: tuple[str, str]) -> None:
    assert (network(address), site(address)) == counted_as


async def test_counts_that_are_over_take_no_memory(clock: Clock) -> None:
    memory = Memory()
    for number in range(1_000):
        await memory.incr(str(number), 60)
        clock.now += 1

    assert len(memory) <= 61


async def test_there_are_only_so_many_counts(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    monkeypatch.setattr(rates, "_COUNTS_KEPT", 10)
    memory = Memory()

    for number in range(50):
        await memory.incr(str(number), 60)

    assert len(memory) <= 11
    assert await memory.get("49") == 1


async def test_with_redis_all_processes_count_together(redis_url: str) -> None:
    one, other = RateLimit("points", "100/hour", redis_url), RateLimit("points", "100/hour", redis_url)

    left = [await limit.take("a", 40) for limit in (one, other)]

    assert [quota and quota.remaining for quota in left] == [60, 20]
    with pytest.raises(RateLimited):
        await one.take("a", 40)
    await one.close()
    await other.close()


async def test_while_redis_is_away_the_shop_is_open(tmp_path: Path) -> None:
    limit = RateLimit("points", "1/hour", f"redis+unix://{tmp_path}/nobody")

    assert [await limit.take("a", 10) for _ in range(2)] == [None, None]


async def test_who_does_not_answer_is_not_asked_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, now = 0, 1_000.0
    monkeypatch.setattr(rates, "monotonic", lambda: now)

    def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        writer.close()

    async with await asyncio.start_unix_server(hang_up, tmp_path / "redis"):
        limit = RateLimit("points", "1/hour", f"redis+unix://{tmp_path}/redis")
        assert await limit.take("a", 1) is None
        once = asked
        assert [await limit.take("a", 1) for _ in range(3)] == [None] * 3
        assert asked == once > 0
        now += 1.1
        assert await limit.take("a", 1) is None
        assert asked == 2 * once
        await limit.close()


@pytest.fixture(params=[False, True], ids=["resolver", "compiled"])
async def limited(
    connection: AsyncConnection, settings: Settings, request: pytest.FixtureRequest
) -> AsyncIterator[Api]:
    """The application with limits of its own: 100 points, and 3 attempts."""
    limits = {"rate_limit": "100/hour", "attempt_limit": "3/hour", "compiled_path": request.param}
    app = create_app(settings.model_copy(update=limits), SingleConnection(connection))
    transport = httpx2.ASGITransport(app=app, client=(ADDRESS, 1))
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        yield Api(client, settings)


async def test_who_asks_is_told_what_is_left_and_when_there_is_more(limited: Api) -> None:
    response = await limited.send("{ products(first: 60) { nodes { id } } }")

    assert response.headers["RateLimit-Policy"] == '"points";q=100;w=3600'
    assert re.fullmatch(r'"points";r=40;t=3\d{3}', response.headers["RateLimit"])

    refused = await limited.send("{ products(first: 60) { nodes { id } } }")

    assert refused.status_code == 429
    assert 3500 <= int(refused.headers["Retry-After"]) <= 3600
    assert re.fullmatch(r'"points";r=40;t=3\d{3}', refused.headers["RateLimit"])
    (error,) = refused.json()["errors"]
    assert error["extensions"]["code"] == "RATE_LIMIT_EXCEEDED"
    assert "data" not in refused.json()


async def test_what_is_refused_reads_and_does_nothing(
    limited: Api, market: Market, statements: Statements, connection: AsyncConnection
) -> None:
    user, product = await market.user(), await market.product()
    await limited.send("{ products(first: 100) { nodes { id } } }", user=user)
    statements.clear()

    order = "mutation ($id: ID!) { placeOrder(input: {items: [{productId: $id, quantity: 1}]}) { __typename } }"
    response = await limited.send(order, {"id": gid(product)}, user=user)

    assert (response.status_code, statements) == (429, [])


async def test_a_user_who_has_nothing_left_takes_nothing_from_others(limited: Api, market: Market) -> None:
    query = "{ products(first: 100) { nodes { id } } }"
    for user in (await market.user(), await market.user(), None):
        answers = [await limited.send(query, user=user) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [200, 429]


async def test_a_token_that_is_no_good_does_not_give_another_share(limited: Api) -> None:
    """What is refused costs as much as what cannot be executed."""
    query = "{ products(first: 50) { nodes { id } } }"

    answers = [await limited.send(query, headers={"Authorization": f"Bearer {number}"}) for number in range(11)]

    assert [answer.status_code for answer in answers] == [200] * 10 + [429]


@pytest.mark.parametrize("document", ["{", "{ nothing }", "query A { a: __typename } query B { b: __typename }"])
async def test_documents_that_cannot_be_executed_cost_something(limited: Api, document: str) -> None:
    statuses = [(await limited.send(document)).status_code for _ in range(11)]

    assert statuses == [200] * 10 + [429]


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
async def test_what_cannot_be_sent_like_this_costs_as_much_as_if_it_could(limited: Api, accept: str) -> None:
    mutation = {"query": 'mutation { logOut(input: { refreshToken: "x" }) { __typename } }'}  # ten points

    sent = [await limited.client.get("/graphql", params=mutation, headers={"Accept": accept}) for _ in range(11)]

    assert [response.status_code for response in sent] == [405] * 10 + [429]
    assert re.fullmatch(r'"points";r=90;t=3\d{3}', sent[0].headers["RateLimit"])


async def test_what_costs_more_than_one_operation_may_does_not_use_everything_up(limited: Api) -> None:
    dear = "{ stores(first: 100) { nodes { products(first: 100) { nodes { id } } } } }"

    refused = await limited.send(dear)

    assert refused.json()["errors"][0]["extensions"]["code"] == "COST_LIMIT_EXCEEDED"
    assert refused.headers["RateLimit"].startswith('"points";r=90;')
