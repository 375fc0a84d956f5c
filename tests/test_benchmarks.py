"""The benchmarks run, and calculate correctly. How fast anything is, no test says."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import asyncpg
import pytest
import typer
from graphql import parse, validate
from sqlalchemy import make_url

from app.graphql.schema import schema
from app.graphql.strawberry_internals import graphql_schema
from benchmarks import events, growth, live, memory, migrating, processes
from benchmarks.__main__ import chosen, run
from benchmarks.contestants import APP, CONTESTANTS, SQL, TUTORIAL, variant
from benchmarks.figures import Measurement, Series, percentile, ratio, ratio_to
from benchmarks.load import BadAnswer, body_of
from benchmarks.race import Course
from benchmarks.report import printed, raw
from benchmarks.scenarios import SCENARIOS, essence
from benchmarks.sql import dsn_of
from benchmarks.wire import counted
from tests.databases import drop_database
from tools.bulk import Size

SMALL = Size(stores=10, products=400, orders=50)
Q1, *_, M1 = SCENARIOS


@pytest.fixture
def database_name(server_url: str) -> Iterator[str]:
    name = f"orders_test_benchmarks_{os.getpid()}"
    yield name
    drop_database(make_url(server_url).set(database=name).render_as_string(hide_password=False))


def measured(answers: int, seconds: float = 1.0, milliseconds: float = 1.0) -> Measurement:
    return Measurement(answers, 0, seconds, milliseconds, 2 * milliseconds, 0.5, None, 0.1)


def series(contestant: str, *rounds: Measurement) -> Series:
    return Series("Q1", 1, contestant, rounds)


def test_contestants_race_and_are_told_of_in_a_table(server_url: str, database_name: str) -> None:
    course = Course(
        [APP, TUTORIAL, SQL], [Q1, M1], connections=[2], rounds=1, seconds=0.2, count_statements=False, pin=False
    )
    outcome, about = asyncio.run(run(server_url, database_name, course, SMALL))
    assert [(one.scenario, one.contestant, one.connections) for one in outcome.series] == [
        (scenario, contestant, 2) for scenario in ("Q1", "M1") for contestant in ("app", "tutorial", "sql")
    ]
    assert all(one.rounds[0].answers > 0 for one in outcome.series)
    text = printed(about, course, outcome)
    rows = [line.split()[:2] for line in text.splitlines() if line.startswith("2 ")]
    assert rows == [["2", "app"], ["2", "tutorial"], ["2", "sql"]] * 2
    assert about["Data"] == "10 stores, 400 products, 50 orders"
    assert len(json.loads(json.dumps(raw(about, outcome)))["series"]) == 6


async def test_statements_are_counted_on_the_wire(server_url: str) -> None:
    async with counted(server_url) as counter:
        connection = await asyncpg.connect(dsn_of(counter.url))
        before = counter.statements
        assert await connection.fetchval("SELECT $1::int", 7) == 7
        async with connection.transaction():
            await connection.execute("SELECT 1")
        await connection.close()
    assert counter.statements - before == 4


def test_percentile_is_a_value_that_was_measured() -> None:
    values = [float(value) for value in range(1, 101)]
    assert [percentile(values, share) for share in (0, 0.5, 0.99, 1)] == [1, 50, 99, 100]
    assert percentile([3.0], 0.99) == 3.0


def test_figures_are_medians_of_rounds() -> None:
    one = series("app", measured(100), measured(300, 2.0, 3.0), measured(120, 1.0, 2.0))
    assert (one.per_second, one.p50_ms, one.p99_ms) == (120, 2.0, 4.0)
    assert one.spread_percent == pytest.approx(100 * 25 / 120)
    assert one.server_ms == pytest.approx(1_000 * 0.5 / 120)
    assert one.postgres_ms is None


def test_ratios_compare_rounds_that_are_neighbours() -> None:
    app = series("app", measured(10), measured(40), measured(30))
    sql = series("sql", measured(100), measured(200), measured(100))
    assert ratio(app, sql) == pytest.approx(0.2)
    assert ratio_to("sql", app, [app, sql]) == pytest.approx(0.2)
    assert ratio_to("tutorial", app, [app, sql]) is None


def test_shapes_do_not_matter_to_what_an_answer_says() -> None:
    price, placed_at = {"amount": "2.00", "currency": "EUR"}, "2026-01-01T00:00Z"
    ours = {"nodes": [{"id": "Product_1", "price": price, "placedAt": placed_at}]}
    plain = [{"id": "1", "price": "2.00", "currency": "EUR", "placedAt": "2026-01-01T00:00:00+00:00"}]
    assert essence(ours) == essence(plain)
    assert essence({"order": ours}) == essence(plain)
    assert essence(ours) != essence([{**plain[0], "price": "2.01"}])


@pytest.mark.parametrize("answer", [b"HTTP/1.1 500 No\r\n\r\n{}", b'HTTP/1.1 200 OK\r\n\r\n{"errors":[]}'])
def test_an_error_is_no_answer(answer: bytes) -> None:
    assert body_of(b"HTTP/1.1 200 OK\r\n\r\n{}") == b"{}"
    with pytest.raises(BadAnswer):
        body_of(answer)


@pytest.mark.skipif(processes.split_cores() is None, reason="takes two cores that processes can be pinned to")
def test_a_process_is_pinned_and_let_go_again() -> None:
    cores = os.sched_getaffinity(0)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        with processes.pinned(child.pid, {min(cores)}) as allowed:
            assert allowed
            assert os.sched_getaffinity(child.pid) == {min(cores)}
        assert os.sched_getaffinity(child.pid) == cores
        assert child.pid in processes.family(os.getpid())
        child.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="takes /proc")
def test_what_a_process_uses_is_read() -> None:
    assert (processes.cpu_seconds(os.getpid()) or 0) > 0
    assert (processes.resident_megabytes(os.getpid()) or 0) > 10
    assert processes.cpu_seconds(None) is None


def test_every_contestant_takes_part_in_everything() -> None:
    for contestant in CONTESTANTS:
        assert contestant.requests.keys() == {scenario.name for scenario in SCENARIOS}


def test_a_variant_is_the_app_with_other_settings() -> None:
    plain = variant("app plain:WORKERS=2,OTHER=x=y")
    environment = {**APP.environment, "WORKERS": "2", "OTHER": "x=y"}
    assert plain == replace(APP, name="app plain", environment=environment)


def test_names_are_chosen_or_refused() -> None:
    assert chosen(CONTESTANTS, " sql,app") == [APP, SQL]
    assert chosen(CONTESTANTS, "") == [APP, TUTORIAL, SQL]
    with pytest.raises(typer.BadParameter, match="nobody"):
        chosen(CONTESTANTS, "app,nobody")


def test_the_queries_that_memory_is_measured_with_are_valid_and_all_different() -> None:
    queries = [memory.query(number) for number in range(200)]

    assert len(set(queries)) == 200
    assert not any(validate(graphql_schema(schema), parse(text)) for text in queries)


async def test_the_memory_of_a_server_is_measured_while_it_answers_each_query(
    server_url: str, database_name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    await memory.measure(server_url, database_name, Size(stores=10, products=400, orders=50), different=24, same=12)

    shown = [line.split() for line in capsys.readouterr().out.splitlines() if line.endswith("MB")]
    assert [line[:-2] for line in shown] == [["24", "different"], ["12", "the", "same"]]


@pytest.mark.skipif(shutil.which("pgbench") is None, reason="pgbench is not installed")
async def test_commits_are_compared_without_and_with_events(
    server_url: str, database_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "DATABASE", database_name)
    _, plain, *others = await events.compare(server_url, rounds=1, clients=1, seconds=1, announcers=1, listeners=1)
    assert plain[0::2] == ("no events", "1.00")
    assert [name for name, *_ in others] == ["pg_notify in the transaction", "the log"]
    assert all(int(rate) > 0 for _, rate, *_ in (plain, *others))


async def test_every_subscriber_is_told_of_every_event(server_url: str, database_name: str) -> None:
    _, same, own = await live.measure(server_url, database_name, subscribers=3, seconds=1)
    assert (same[1], own[1]) == ("the same", "their own")
    assert same[5] == own[5] == "3/3"


def test_what_may_grow_is_read_by_valid_queries() -> None:
    reads = [*growth.pages(), *growth.READS]

    assert len({read.name for read in reads}) == len(reads)
    assert not any(validate(graphql_schema(schema), parse(read.query)) for read in reads)


async def test_what_may_grow_is_measured_alone_and_beside_searches(
    server_url: str, database_name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    await growth.measure(server_url, database_name, SMALL, times=1, seconds=0.4)

    *reads, alone, beside, searches = capsys.readouterr().out.splitlines()
    assert len(reads) == len([*growth.pages(), *growth.READS])
    assert not [line for line in reads if line.endswith("refused")]
    assert alone.startswith("pages alone: ")
    assert beside.startswith("pages beside 12 searchers: ")
    assert int(searches.split()[1]) > 0


async def test_clients_are_answered_while_one_of_three_migrators_is_killed(server_url: str, database_name: str) -> None:
    answers, _ = await migrating.measure(server_url, database_name, SMALL, seconds=0.2)

    assert all(each.latencies and not each.failures for each in answers.values())
