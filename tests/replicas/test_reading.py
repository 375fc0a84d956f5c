"""Replicas answer queries, and nobody misses what they have written."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event, Thread

import httpx2
import pytest
from sqlalchemy import Connection, text

from tests.databases import run_on
from tests.faults.stores import STOCK as STOCK_AT_FIRST
from tests.replicas.conftest import STOCK, Deployment, ask, until

PATHS = {"compiled": {}, "resolver": {"COMPILED_PATH": "false"}}


@pytest.mark.parametrize("path", PATHS)
def test_a_query_with_a_token_sees_the_write_and_one_without_may_not(deployment: Deployment, path: str) -> None:
    with deployment.process(**PATHS[path]) as process:
        before = process.stock()
        with deployment.paused():
            token = process.place()
            assert process.stock(token=token) == before - 1
            assert process.stock() == before, "otherwise a replica didn't answer"
            assert process.fallbacks("not_replayed") == 1
        assert process.stock(token=token) == before - 1
        assert process.fallbacks("not_replayed") == 1, "the replica shows it now"


def test_all_of_several_tokens_must_be_there(deployment: Deployment) -> None:
    with deployment.process() as process:
        first = process.place()
        deployment.until_replayed()
        with deployment.paused():
            second, stock = process.place(), process.stock(is_customer=True)
            assert process.stock(token=f"{first},{second}") == process.stock(token=f"{second},{first}") == stock
            assert process.stock(token=first) == stock + 1


def test_the_queries_of_a_user_who_has_just_written_need_no_token(deployment: Deployment) -> None:
    with deployment.process() as process, deployment.process() as other:
        before = process.stock()
        with deployment.paused():
            process.place()
            assert process.stock(is_customer=True) == before - 1
            until(lambda: other.stock(is_customer=True) == before - 1, "no other process hears who has written")
            assert process.stock() == other.stock() == before


def test_a_replica_that_is_too_far_behind_is_left_out(deployment: Deployment) -> None:
    with deployment.process(DATABASE_REPLICA_LAG_SECONDS="0.5") as process:
        before = process.stock()
        with deployment.paused():
            process.place()
            until(lambda: process.stock() == before - 1, "the replica goes on answering")
            process.until_fit(0)
            assert process.fallbacks("lagging") + process.fallbacks("left_out") >= 1
        process.until_fit()


def test_a_replica_on_which_a_statement_waits_for_replay_does_not_keep_anyone(deployment: Deployment) -> None:
    primary, standby = deployment.servers.primary, deployment.servers.standby
    locked = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND relation = 'products'::regclass"
    begun, over = Event(), Event()

    def hold(connection: Connection) -> None:
        connection.execute(text("LOCK TABLE products IN ACCESS EXCLUSIVE MODE"))
        begun.set()
        over.wait(30)

    def commit(connection: Connection) -> None:
        connection.execute(text("SELECT pg_current_xact_id()"))
        connection.commit()

    with deployment.process() as process:
        stock = process.stock()
        # The lock is replayed, and its end is not.
        holding = Thread(target=run_on, args=(primary.url, hold))
        holding.start()
        assert begun.wait(10)
        run_on(primary.url, commit)  # which sends the lock, too
        try:
            until(lambda: ask(standby, locked), "the lock is not replayed")
            ask(standby, "SELECT pg_wal_replay_pause()")
            over.set()
            holding.join()
            assert process.stock() == stock
            assert process.fallbacks("conflict") == 1
            assert process.fit == 1
            for _ in range(2):
                process.stock()
            assert (process.fit, process.stock()) == (0, stock), "it is left out for a while"
        finally:
            over.set()
            ask(standby, "SELECT pg_wal_replay_resume()")


def test_a_server_that_takes_writes_is_no_replica(deployment: Deployment) -> None:
    primary = deployment.servers.primary
    with deployment.process(DATABASE_REPLICA_URLS=f"{primary.url} {deployment.servers.standby.url}") as process:
        for _ in range(4):
            process.stock()
        assert set(process.figures("orders_api_reads_total")) == {deployment.servers.standby.place}
        assert process.fit == 1


def test_a_replica_that_does_not_answer_is_left_out_and_used_again(fragile: Deployment) -> None:
    standby = fragile.servers.standby
    with fragile.process() as process:
        assert process.stock() == STOCK_AT_FIRST
        standby.freeze()
        assert process.stock() == STOCK_AT_FIRST
        process.until_fit(0)
        assert process.fallbacks("broken") >= 1
        standby.wake()
        process.until_fit()
        before = process.figures("orders_api_reads_total")[standby.place]
        assert process.stock() == STOCK_AT_FIRST
        assert process.figures("orders_api_reads_total")[standby.place] == before + 1


def test_a_crowd_is_answered_while_the_replica_is_frozen(fragile: Deployment) -> None:
    """More of those who haven't logged in than may use a pool at once."""
    statuses: list[int] = []

    def read() -> None:
        with httpx2.Client(timeout=20) as client:
            statuses.extend(client.post(f"{process.url}/graphql", json={"query": STOCK}).status_code for _ in range(20))

    with fragile.process() as process:
        threads = [Thread(target=read) for _ in range(24)]
        for thread in threads:
            thread.start()
        until(lambda: len(statuses) > 40, "nobody is answered")
        fragile.servers.standby.freeze()
        for thread in threads:
            thread.join()
    assert (len(statuses), set(statuses)) == (480, {200})


def test_a_replica_without_further_connections_answers_over_those_that_it_has(deployment: Deployment) -> None:
    primary, standby = deployment.servers.primary, deployment.servers.standby
    run_on(primary.url, limited)
    deployment.until_replayed()
    url = standby.url.replace("postgres@", "limited@")
    with deployment.process(DATABASE_REPLICA_URLS=url) as process, ThreadPoolExecutor(8) as pool:
        for _ in range(10):
            assert len({*pool.map(lambda _: process.stock(), range(8))}) == 1
        before = process.figures("orders_api_reads_total")[standby.place]
        process.stock()
        assert process.figures("orders_api_reads_total")[standby.place] == before + 1


def limited(connection: Connection) -> None:
    """Add a role that may read, over two connections."""
    for statement in (
        "CREATE ROLE limited LOGIN CONNECTION LIMIT 2",
        "GRANT USAGE ON SCHEMA public TO limited",
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO limited",
    ):
        connection.execute(text(statement))
    connection.commit()


def test_replicas_answer_while_the_primary_is_away(fragile: Deployment) -> None:
    with fragile.process() as process:
        token = process.place()
        fragile.until_replayed()
        assert process.client.get(f"{process.url}/readyz").status_code == 200
        fragile.servers.primary.kill()
        assert process.stock() == process.stock(token=token) == STOCK_AT_FIRST - 1
        assert process.stock(is_customer=True) == STOCK_AT_FIRST - 1, "though the customer has just written"
        ready = process.client.get(f"{process.url}/readyz")
        assert (ready.status_code, ready.text.split(",")[0]) == (200, "ready")

        unknown = process.send(token="0" * 32).json()
        assert unknown["errors"][0]["extensions"]["code"] == "DATABASE_UNAVAILABLE"
        refused = process.shop.place(process.url, client=process.client)
        assert refused["errors"][0]["extensions"]["code"] == "DATABASE_UNAVAILABLE"

        fragile.servers.standby.kill()
        until(
            lambda: process.client.get(f"{process.url}/readyz").status_code == 503, "nothing answers, but it is ready"
        )


def test_no_replica_in_reach_is_as_good_as_none(deployment: Deployment) -> None:
    unreachable = "postgresql://127.0.0.1:1/postgres"
    urls = f"{unreachable} {deployment.servers.standby.url}"
    with deployment.process(DATABASE_REPLICA_URLS=urls) as process:
        assert process.stock() <= STOCK_AT_FIRST
        assert process.fit == 1
