"""The API behind a pooler: what it requires when it starts, and that it then works."""

import asyncio
import os
import re
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from sqlalchemy import Connection, make_url
from typer.testing import CliRunner

from app.cli.commands import cli
from app.cli.database_checks import database
from app.cli.output import Mark
from app.db.poolers import settings_missing
from app.db.server_settings import alter_role, role_settings
from app.settings import Settings
from tests.cli.conftest import RunFailing, run_failing
from tests.databases import run_on
from tests.poolers.conftest import Open
from tests.servers import served
from tools.pgbouncer import PgBouncer

__all__ = ["run_failing"]


def as_user(name: str | None, url: str) -> str:
    """Return the URL for this user."""
    return make_url(url).set(username=name).render_as_string(hide_password=False)


def execute(url: str, *commands: str) -> None:
    def run(connection: Connection) -> None:
        for command in commands:
            connection.exec_driver_sql(command)
        connection.commit()

    run_on(url, run)


def defaults(url: str) -> list[tuple[str, str]]:
    """Return the settings that the API relies on, as Postgres has them by itself."""
    names = ", ".join(f"'{name}'" for name in role_settings(Settings()))
    find = f"SELECT name, boot_val FROM pg_settings WHERE name IN ({names})"
    return run_on(url, lambda connection: [(name, value) for name, value in connection.exec_driver_sql(find)])


@pytest.fixture
def role(direct_url: str) -> Iterator[str]:
    """The URL of the database for a role that has no settings yet, even where the database has some."""
    name = f"orders_test_pooled_{os.getpid()}"
    execute(direct_url, f"CREATE ROLE {name} LOGIN", f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {name}")
    execute(direct_url, *(f"ALTER ROLE {name} SET {setting} = '{value}'" for setting, value in defaults(direct_url)))
    yield make_url(direct_url).set(username=name).render_as_string(hide_password=False)
    execute(direct_url, f"DROP OWNED BY {name}", f"DROP ROLE {name}")


def test_a_pooler_that_mixes_answers_ends_the_start(opened: Open, direct_url: str, run_failing: RunFailing) -> None:
    url = opened(max_prepared_statements=0)
    ended = run_failing("serve", DATABASE_URL=url, DATABASE_DIRECT_URL=direct_url, PORT="0")
    assert "doesn't track prepared statements, so clients get each other's answers" in ended.last_line
    assert "max_prepared_statements" in ended.last_line


def test_an_old_pooler_ends_the_start(
    opened: Open, oldest: PgBouncer, direct_url: str, run_failing: RunFailing
) -> None:
    url = opened(pgbouncer=oldest)
    ended = run_failing("serve", DATABASE_URL=url, DATABASE_DIRECT_URL=direct_url, PORT="0")
    assert "clients get each other's answers" in ended.last_line


def test_the_start_says_what_is_missing_without_a_direct_url(opened: Open, run_failing: RunFailing) -> None:
    line = run_failing("serve", DATABASE_URL=opened(), PORT="0").last_line
    assert line.startswith("DATABASE_DIRECT_URL is missing")
    assert "events and migrations need a session" in line


def test_the_direct_url_must_not_lead_through_the_pooler(opened: Open, run_failing: RunFailing) -> None:
    url = opened()
    line = run_failing("serve", DATABASE_URL=url, DATABASE_DIRECT_URL=url, PORT="0").last_line
    assert line.startswith("DATABASE_DIRECT_URL leads to a pooler that pools transactions")


def test_an_unreachable_direct_url_is_named(opened: Open, run_failing: RunFailing) -> None:
    nowhere = "postgresql://ann@127.0.0.1:1/shop"
    line = run_failing("serve", DATABASE_URL=opened(), DATABASE_DIRECT_URL=nowhere, PORT="0").last_line
    assert "correct DATABASE_DIRECT_URL" in line


def test_a_session_pooler_that_refuses_the_settings_is_explained(opened: Open, run_failing: RunFailing) -> None:
    line = run_failing("serve", DATABASE_URL=opened(pool_mode="session"), PORT="0").last_line
    assert "unsupported startup parameter" in line
    assert "DATABASE_DIRECT_URL" in line


def test_the_start_names_the_settings_that_the_role_lacks_and_works_once_it_has_them(
    opened: Open, role: str, run_failing: RunFailing, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = make_url(role).username
    given = {"DATABASE_URL": as_user(user, opened()), "DATABASE_DIRECT_URL": role, "STATEMENT_TIMEOUT_SECONDS": "7"}
    line = run_failing("serve", **given, PORT="0").last_line
    assert "statement_timeout is 0, not 7000" in line
    assert "jit is on, not off" in line

    (commands,) = re.findall(r"Run `(.*)`", line)
    printed = CliRunner().invoke(cli, ["role-settings"]).stdout
    assert printed.split() == commands.split()
    for command in commands.split("; "):
        execute(role, command)

    monkeypatch.undo()
    environment: Any = {**given, "DATABASE_URL": as_user(user, opened())}
    with served(**environment) as (_, url):
        ready = httpx2.get(f"{url}/readyz")
        assert (ready.status_code, ready.text.split(",")[0]) == (200, "ready")
        shown = httpx2.get(f"{url}/metrics").text
        assert "orders_api_events_heard" in shown


async def test_the_doctor_finds_nothing_to_mend_behind_a_pooler(opened: Open, role: str) -> None:
    url = as_user(make_url(role).username, opened())
    settings = Settings(database_url=url, database_direct_url=role)
    (problem,) = [finding async for finding in database(settings) if finding.mark is Mark.PROBLEM]
    assert "statement_timeout is 0, not 10000" in problem.what

    await asyncio.to_thread(execute, role, *alter_role(make_url(role), role_settings(settings)))
    reconnected = settings.model_copy(update={"database_url": as_user(make_url(role).username, opened())})
    found = [finding async for finding in database(reconnected)]
    assert Mark.PROBLEM not in {finding.mark for finding in found}
    assert any("tracks prepared statements, and timeouts hold" in finding.what for finding in found)


async def test_settings_that_a_pooler_drops_are_found(opened: Open, role: str) -> None:
    dropped = (
        "statement_timeout,idle_in_transaction_session_timeout,tcp_user_timeout,jit,max_parallel_workers_per_gather"
    )
    url = as_user(make_url(role).username, opened(ignore_startup_parameters=dropped, pool_mode="session"))
    settings = Settings(database_url=url, database_direct_url=None)
    missing = await settings_missing(make_url(url), settings)
    assert set(missing) == set(role_settings(settings))
