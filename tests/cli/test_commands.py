"""`python -m app`, as an operator types it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import Connection, text

from app.settings import ROOT
from tests.databases import create_database, drop_database, run_on
from tests.servers import served
from tools.seeding import DEMO_ACCOUNTS

SECRET = "a-secret-of-more-than-32-characters-for-tests"
COMMANDS = ("serve", "migrate", "migration", "seed", "schema", "create-superuser", "settings", "doctor")


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
    for command in COMMANDS:
        assert command in result.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_its_options(command: str) -> None:
    result = run(command, "--help")
    assert result.returncode == 0
    assert "Usage: python -m app " + command in result.stdout


def test_a_wrong_setting_ends_the_start_with_one_line() -> None:
    result = run("serve", PORT="http")
    assert result.returncode == 2
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("PORT: ")


def test_settings_masks_secrets() -> None:
    result = run("settings", SECRET_KEY=SECRET, DATABASE_URL="postgresql://orders:hunter2@db.example.com/orders")
    assert result.returncode == 0
    assert SECRET not in result.stdout
    assert "hunter2" not in result.stdout
    assert "DATABASE_URL=postgresql+asyncpg://orders:***@db.example.com/orders" in result.stdout
    assert "PORT=8000" in result.stdout


def test_schema_prints_what_is_exported(tmp_path: Path) -> None:
    exported = (ROOT / "schema.graphql").read_text()
    assert run("schema").stdout == exported
    assert run("schema", "--output", str(tmp_path / "schema.graphql")).returncode == 0
    assert (tmp_path / "schema.graphql").read_text() == exported


def test_create_superuser(empty_database: str) -> None:
    arguments = ("create-superuser", "--email", "Root@Example.com", "--full-name", "Root")

    def superusers(connection: Connection) -> list[str]:
        return list(connection.scalars(text("SELECT email FROM users WHERE is_superuser")))

    short = run(*arguments, DATABASE_URL=empty_database, SUPERUSER_PASSWORD="short")
    assert (short.returncode, "password must have at least 8 characters" in short.stderr) == (1, True)
    created = run(*arguments, DATABASE_URL=empty_database, SUPERUSER_PASSWORD="correct horse")
    assert created.returncode == 0, created.stderr
    assert run_on(empty_database, superusers) == ["root@example.com"]
    again = run(*arguments, DATABASE_URL=empty_database, SUPERUSER_PASSWORD="correct horse")
    assert (again.returncode, "already exists" in again.stderr) == (1, True)


def test_seed_fills_only_an_empty_database(empty_database: str) -> None:
    bulk = ("seed", "--stores", "3", "--products", "60", "--orders", "20")
    filled = run(*bulk, DATABASE_URL=empty_database)
    assert filled.returncode == 0, filled.stderr
    assert run_on(empty_database, lambda c: c.scalar(text("SELECT count(*) FROM products"))) == 60
    again = run(*bulk, DATABASE_URL=empty_database)
    assert (again.returncode, "not empty" in again.stderr) == (1, True)


def test_serve_migrates_fills_greets_serves_and_ends_with_a_signal(empty_database: str) -> None:
    with served("--migrate", "--demo", DATABASE_URL=empty_database) as (process, url):
        assert query(url, "{ products(first: 1) { nodes { __typename } } }") == {
            "products": {"nodes": [{"__typename": "Product"}]}
        }
        assert httpx2.get(f"{url}/readyz").text == "ready"
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


def test_a_port_in_use_is_told_before_anything_starts(database_url: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        result = run("serve", PORT=str(taken.getsockname()[1]), DATABASE_URL=database_url)
    assert result.returncode == 1
    assert result.stderr.startswith("PORT: ")
