"""`python -m app`, as an operator types it."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
import typer
from sqlalchemy import Connection, make_url, text
from typer.main import get_group

from app.cli.commands import cli
from app.db import migrations
from app.pruning.catalog import KINDS
from app.pruning.partitions import first_key
from app.settings import ROOT
from app.users.demo import DEMO_ACCOUNTS
from tests.cli.conftest import RunFailing
from tests.databases import create_database, drop_database, run_on
from tests.servers import served

SECRET = "a-secret-of-more-than-32-characters-for-tests"
COMMANDS = (
    *("serve", "migrate", "prune", "migration", "seed", "schema", "create-superuser", "settings", "role-settings"),
    "doctor",
)


@pytest.fixture
def empty_database(server_url: str) -> Iterator[str]:
    url = create_database(server_url, f"orders_test_command_line_{os.getpid()}")
    yield url
    drop_database(url)


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "app", *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "COLUMNS": "200", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def query(url: str, document: str) -> object:
    return httpx2.post(f"{url}/graphql", json={"query": document}).json()["data"]


def test_help_names_every_command() -> None:
    result = run("--help")
    assert result.returncode == 0
    assert "Usage: python -m app " in result.stdout
    for command in COMMANDS:
        assert command in result.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_its_options(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    group = get_group(cli)
    context = group.make_context("python -m app", [command])
    with pytest.raises(typer.Exit):
        group.commands[command].make_context(command, ["--help"], parent=context)
    assert "Usage: python -m app " + command in capsys.readouterr().out


def test_a_wrong_setting_ends_the_start_with_one_line(run_failing: RunFailing) -> None:
    ended = run_failing("serve", PORT="http")
    assert ended.code == 2
    (line,) = ended.text.splitlines()
    assert line.startswith("PORT: ")


def test_settings_masks_secrets() -> None:
    result = run("settings", SECRET_KEY=SECRET, DATABASE_URL="postgresql://orders:hunter2@db.example.com/orders")
    assert result.returncode == 0
    assert SECRET not in result.stdout
    assert "hunter2" not in result.stdout
    assert "DATABASE_URL=postgresql+asyncpg://orders:***@db.example.com/orders" in result.stdout
    assert "PORT=8000" in result.stdout


def test_schema_writes_what_is_exported(tmp_path: Path) -> None:
    assert run("schema", "--output", str(tmp_path / "schema.graphql")).returncode == 0
    assert (tmp_path / "schema.graphql").read_text() == (ROOT / "schema.graphql").read_text()


def test_create_superuser(empty_database: str, run_failing: RunFailing) -> None:
    arguments = ("create-superuser", "--email", "Root@Example.com", "--full-name", "Root")

    def superusers(connection: Connection) -> list[str]:
        return list(connection.scalars(text("SELECT email FROM users WHERE is_superuser")))

    short = run_failing(*arguments, DATABASE_URL=empty_database, SUPERUSER_PASSWORD="short")
    assert (short.code, "password must have at least 8 characters" in short.text) == (1, True)
    created = run(*arguments, DATABASE_URL=empty_database, SUPERUSER_PASSWORD="correct horse")
    assert created.returncode == 0, created.stderr
    assert run_on(empty_database, superusers) == ["root@example.com"]
    again = run_failing(*arguments, DATABASE_URL=empty_database, SUPERUSER_PASSWORD="correct horse")
    assert (again.code, "already exists" in again.text) == (1, True)


def test_prune_says_what_it_has_deleted_and_who_may_change_partitions(
    empty_database: str, run_failing: RunFailing
) -> None:
    early = run_failing("prune", DATABASE_URL=empty_database)
    assert early.last_line == "The database is missing migrations: python -m app migrate"
    migrations.migrate(empty_database, lambda _: None)
    name, old = f"visitor_{os.getpid()}", first_key(datetime(2020, 1, 1, tzinfo=UTC))

    def prepare(connection: Connection) -> None:
        for statement in (
            f"INSERT INTO events (id, type, entity_id, payload) VALUES ('{old}', 'product.updated', '{old}', '{{}}')",
            f"CREATE ROLE {name} LOGIN",
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {name}",
        ):
            connection.exec_driver_sql(statement)
        connection.commit()

    def clean_up(connection: Connection) -> None:
        connection.exec_driver_sql(f"DROP OWNED BY {name}")
        connection.exec_driver_sql(f"DROP ROLE {name}")
        connection.commit()

    run_on(empty_database, prepare)
    try:
        done = run("prune", DATABASE_URL=empty_database)
        assert (done.returncode, "Traceback" in done.stderr) == (0, False)
        assert [line.partition(":")[0] for line in done.stderr.splitlines()] == [kind.name for kind in KINDS]
        assert "events: 1 deleted; partitions: 0 dropped, 0 added" in done.stderr
        visitor = make_url(empty_database).set(username=name).render_as_string()
        assert (
            "may add and drop partitions of events, audit_entries"
            in run_failing("prune", DATABASE_URL=visitor).last_line
        )
    finally:
        run_on(empty_database, clean_up)


def test_seed_fills_only_an_empty_database(empty_database: str, run_failing: RunFailing) -> None:
    bulk = ("seed", "--stores", "3", "--products", "60", "--orders", "20")
    filled = run(*bulk, DATABASE_URL=empty_database)
    assert filled.returncode == 0, filled.stderr
    assert run_on(empty_database, lambda c: c.scalar(text("SELECT count(*) FROM products"))) == 60
    again = run_failing(*bulk, DATABASE_URL=empty_database)
    assert (again.code, "not empty" in again.text) == (1, True)


def test_serve_migrates_fills_greets_serves_and_ends_with_a_signal(empty_database: str) -> None:
    with served("--migrate", "--demo", DATABASE_URL=empty_database) as (process, url):
        assert query(url, "{ products(first: 1) { nodes { __typename } } }") == {
            "products": {"nodes": [{"__typename": "Product"}]}
        }
        assert httpx2.get(f"{url}/readyz").text.startswith("ready")
        process.send_signal(signal.SIGTERM)
        _, output = process.communicate(timeout=20)
    assert f"{url}/graphql" in output
    for account in DEMO_ACCOUNTS:
        assert account.email in output
    assert "Traceback" not in output


def test_whoever_serves_without_migrations_is_told(empty_database: str) -> None:
    with served(DATABASE_URL=empty_database) as (process, url):
        assert httpx2.get(url).status_code == 503
        process.send_signal(signal.SIGTERM)
        _, output = process.communicate(timeout=20)
    assert "migrations are missing. Run `python -m app migrate`" in output


def test_workers_end_with_a_supervisor_that_is_killed(empty_database: str) -> None:
    with served("--migrate", "--workers", "2", DATABASE_URL=empty_database) as (process, url):
        assert query(url, "{ products { totalCount } }") == {"products": {"totalCount": 0}}
        process.kill()
        process.wait()
        for _ in range(100):
            try:
                httpx2.get(f"{url}/livez")
            except httpx2.TransportError:
                return
            time.sleep(0.1)
    raise AssertionError("a worker serves on")


def test_a_port_in_use_is_told_before_anything_starts(database_url: str, run_failing: RunFailing) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ended = run_failing("serve", PORT=str(taken.getsockname()[1]), DATABASE_URL=database_url)
    assert ended.code == 1
    assert ended.text.startswith("PORT: ")


PUBLIC: Any = {"SECRET_KEY": SECRET, "TRUSTED_PROXIES": "127.0.0.1"}


def test_the_development_secret_is_not_served_to_others(run_failing: RunFailing) -> None:
    ended = run_failing("serve", "--host", "0.0.0.0", PORT="0")

    assert ended.code == 2
    assert re.match("SECRET_KEY: must be a random secret .* other machines reach 0.0.0.0", ended.last_line)


@pytest.mark.parametrize("command", [("serve", "--demo"), ("seed",), ("seed", "--products", "10")])
def test_demo_accounts_are_not_created_for_others(run_failing: RunFailing, command: tuple[str, ...]) -> None:
    ended = run_failing(*command, PORT="0", **PUBLIC)

    assert ended.code == 2
    assert "TRUSTED_PROXIES names a proxy, and the password of the demo accounts is public" in ended.last_line


def test_demo_accounts_that_exist_are_not_served_to_others(empty_database: str) -> None:
    assert run("seed", DATABASE_URL=empty_database).returncode == 0

    refused = run("serve", DATABASE_URL=empty_database, PORT="0", **PUBLIC)
    checked = run("doctor", DATABASE_URL=empty_database, PORT="0", **PUBLIC)

    assert refused.returncode == 2
    assert "superuser@example.com" in refused.stderr.splitlines()[-1]
    assert checked.returncode == 1
    assert "superuser@example.com" in checked.stdout

    statement = "UPDATE users SET deleted_at = now() WHERE email LIKE '%@example.com'"

    def close(connection: Connection) -> None:
        connection.execute(text(statement))
        connection.commit()

    run_on(empty_database, close)
    assert run("doctor", DATABASE_URL=empty_database, PORT="0", **PUBLIC).returncode == 0
    with served(DATABASE_URL=empty_database, **PUBLIC) as (_, url):
        assert query(url, "{ __typename }") == {"__typename": "Query"}


def test_a_database_without_tables_has_no_demo_accounts(empty_database: str) -> None:
    with served(DATABASE_URL=empty_database, **PUBLIC) as (_, url):
        assert httpx2.get(f"{url}/livez").text == "alive"
