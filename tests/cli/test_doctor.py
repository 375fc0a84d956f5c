"""The doctor finds problems, says how to fix them, and changes nothing."""

import asyncio
import errno
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx2
import pytest
from alembic import command
from pydantic import SecretStr
from sqlalchemy import Connection, make_url, text

from app.cli import commands, database_checks, doctor
from app.cli.database_checks import Facts
from app.cli.output import Finding, Mark
from app.db import migrations
from app.db.migrations import alembic_config
from app.settings import ROOT, Environment, Settings, Trust
from app.web import graphiql
from app.web.static import integrity
from tests.cli.conftest import RunFailing
from tests.cli.test_commands import run
from tests.databases import create_database, drop_database, run_on
from tests.servers import served
from tools import postgres

SECRET = "a-secret-of-more-than-32-characters-for-tests"
PRODUCTION: dict[str, Any] = {
    "app_env": Environment.PRODUCTION,
    "database_url": "postgresql://orders@db/orders",
    "secret_key": SECRET,
    "metrics_token": "x" * 16,
    "trusted_proxies": "127.0.0.1",
}
NOW = datetime(2030, 1, 1, tzinfo=UTC)
GOOD = Facts(
    version="18.1",
    major=18,
    encoding="UTF8",
    connections=97,
    name="orders",
    schema="public",
    may_create=True,
    is_standby=False,
    now=NOW,
    asked=NOW,
    tables=["alembic_version", "users"],
    forbidden=[],
    revision=migrations._revisions()[0],
    ahead={"events": timedelta(days=20), "audit_entries": timedelta(days=14)},
)


@pytest.fixture
def database(server_url: str) -> Iterator[str]:
    """An empty database."""
    url = create_database(server_url, f"orders_test_doctor_{os.getpid()}")
    yield url
    drop_database(url)


async def gathered(findings: AsyncIterator[Finding]) -> list[Finding]:
    return [finding async for finding in findings]


def execute(connection: Connection, *statements: str) -> None:
    for statement in statements:
        connection.execute(text(statement))
    connection.commit()


def marks(findings: list[Finding]) -> list[Mark]:
    return [finding.mark for finding in findings]


def test_the_packages_that_are_pinned_are_installed() -> None:
    assert doctor.packages(ROOT / "requirements.lock").mark is Mark.OK


def test_a_package_that_is_not_as_pinned(tmp_path: Path) -> None:
    lock = tmp_path / "some.lock"
    lock.write_text(
        "typer==0.0.1 \\\n    --hash=sha256:0\n    # via orders-api\nno-such-package==1.0\n"
        "other==1 ; sys_platform == 'plan9'\n"
    )
    finding = doctor.packages(lock)
    assert finding.mark is Mark.PROBLEM
    assert "typer is " in finding.what
    assert "no-such-package is missing" in finding.what
    assert "other" not in finding.what
    assert "make install" in finding.remedy


def test_without_a_lock_nothing_is_compared(tmp_path: Path) -> None:
    assert doctor.packages(tmp_path / "none").mark is Mark.SKIPPED


async def test_settings_that_are_wrong_are_all_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "http")
    monkeypatch.setenv("WORKERS", "0")
    findings = await gathered(doctor.examine())
    wrong = [finding.what.split(":")[0] for finding in findings if finding.mark is Mark.PROBLEM]
    assert wrong == ["PORT", "WORKERS"]
    assert findings[-1].mark is Mark.SKIPPED


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, None),
        ({"secret_key": "abcdefgh" * 4}, "SECRET_KEY"),
        ({"secret_key": f"{SECRET},{'abcdefgh' * 4}"}, "SECRET_KEY"),
        ({"graphiql": True}, "GRAPHIQL"),
        ({"introspection": True}, "INTROSPECTION"),
        ({"cors_origins": "*"}, "CORS_ORIGINS"),
        ({"websocket_origins": "*"}, "WEBSOCKET_ORIGINS"),
        ({"trusted_proxies": "*"}, "TRUSTED_PROXIES"),
        ({"trusted_proxies": ""}, "TRUSTED_PROXIES=127.0.0.1"),
        ({"trusted_proxies": "", "host": "0.0.0.0"}, None),
        ({"attempt_limit": ""}, "ATTEMPT_LIMIT"),
        ({"account_attempt_limit": ""}, "ACCOUNT_ATTEMPT_LIMIT"),
        ({"workers": 2}, "RATE_LIMIT_STORAGE"),
        ({"workers": 2, "rate_limit_storage": "redis://cache/0"}, None),
        ({"metrics_token": None}, "METRICS_TOKEN"),
        ({"log_level": "debug"}, "LOG_LEVEL"),
        ({"rate_limit": "100/minute"}, "RATE_LIMIT=5000/minute"),
        ({"rate_limit": "5000/minute"}, None),
    ],
)
def test_settings_that_do_not_suit_production(changed: dict[str, Any], expected: str | None) -> None:
    findings = [*doctor.production(Settings(**{**PRODUCTION, **changed}))]
    if expected is None:
        assert findings == []
    else:
        (finding,) = findings
        assert finding.mark is (Mark.PROBLEM if expected == "SECRET_KEY" else Mark.WARNING)
        assert expected in f"{finding.what} {finding.remedy}"
    assert [*doctor.production(Settings(**{**PRODUCTION, **changed, "app_env": Environment.QA}))] == []


def test_trusted_documents(tmp_path: Path) -> None:
    assert [*doctor.trusted_documents(Settings())] == []
    file = tmp_path / "manifest.json"
    file.write_text("{}")
    (used,) = doctor.trusted_documents(Settings(trusted_documents_file=file))
    (unused,) = doctor.trusted_documents(Settings(trusted_documents_file=file, trusted_documents=Trust.OFF))
    assert (used.mark, "unused" in used.what, "unused" in unused.what) == (Mark.OK, False, True)


def test_graphiqls_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphiql, "ASSETS", tmp_path)
    (missing,) = doctor.graphiql(Settings())
    assert missing.mark is Mark.WARNING
    assert "make graphiql" in missing.remedy
    assert [*doctor.graphiql(Settings(graphiql=False))] == []

    pinned = [graphiql.Asset(name, "1", f"{name}.js", integrity(name.encode())) for name in ("left", "right")]
    monkeypatch.setattr(doctor, "assets", lambda: pinned)
    for asset in pinned:
        asset.location.parent.mkdir()
        asset.location.write_bytes(asset.package.encode())
    assert marks([*doctor.graphiql(Settings())]) == [Mark.OK]
    pinned[1].location.write_bytes(b"something else")
    assert marks([*doctor.graphiql(Settings())]) == [Mark.PROBLEM]


@pytest.fixture
def serve() -> Iterator[Callable[[bytes], int]]:
    """Serves a text at every path, on a port that is returned."""
    servers = []

    def serving(body: bytes) -> int:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=server.serve_forever).start()
        servers.append(server)
        return server.server_port

    yield serving
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_port_that_is_free_or_ours_or_anothers(serve: Callable[[bytes], int]) -> None:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    (found,) = doctor.port(Settings(port=free))
    assert (found.mark, "is free" in found.what) == (Mark.OK, True)
    (found,) = doctor.port(Settings(port=serve(b"alive")))
    assert (found.mark, "serves" in found.what) == (Mark.OK, True)
    taken = serve(b"something else")
    (found,) = doctor.port(Settings(port=taken))
    assert found.mark is Mark.PROBLEM
    assert f"PORT={taken + 1}" in found.remedy


def test_a_proxy_whose_headers_the_running_server_ignores(database_url: str) -> None:
    with served(DATABASE_URL=database_url) as (_, url):
        settings = Settings(port=int(url.rpartition(":")[2]))
        (found,) = doctor.proxies(settings)
        assert found.mark is Mark.OK
        httpx2.post(f"{url}/graphql", json={"query": "{ __typename }"}, headers={"X-Forwarded-For": "192.0.2.7"})
        (found,) = doctor.proxies(settings)
    assert (found.mark, "of 1 request" in found.what, "TRUSTED_PROXIES" in found.remedy) == (Mark.WARNING, True, True)
    assert [*doctor.proxies(settings)] == []


def test_a_running_server_without_metrics(serve: Callable[[bytes], int]) -> None:
    (found,) = doctor.proxies(Settings(port=serve(b"alive")))
    assert found.mark is Mark.SKIPPED


@pytest.mark.parametrize("host", ["203.0.113.1", "no.such.host.invalid"])
def test_a_host_that_is_not_this_machine(host: str) -> None:
    (found,) = doctor.port(Settings(host=host, secret_key=SecretStr(SECRET)))
    assert (found.mark, found.what.startswith("HOST: ")) == (Mark.PROBLEM, True)


def test_a_port_that_is_for_root() -> None:
    found = doctor._taken(Settings(port=80), "127.0.0.1:80", PermissionError(errno.EACCES, "Permission denied"))
    assert (found.mark, "1024" in found.remedy) == (Mark.PROBLEM, True)


BEHIND = sorted(migrations._revisions()[1] - {GOOD.revision})[0]


@pytest.mark.parametrize(
    ("check", "changed", "mark", "expected"),
    [
        (database_checks.postgres_version, {"major": 14, "version": "14.9"}, Mark.PROBLEM, "14.9 is too old"),
        (database_checks.postgres_version, {"encoding": "SQL_ASCII"}, Mark.PROBLEM, "-E UTF8"),
        (database_checks.privileges, {"is_standby": True}, Mark.PROBLEM, "primary"),
        (
            database_checks.privileges,
            {"schema": None},
            Mark.PROBLEM,
            'GRANT CREATE, USAGE ON SCHEMA public TO "orders"',
        ),
        (database_checks.privileges, {"forbidden": ["users"]}, Mark.PROBLEM, "may not read and write users"),
        (database_checks.privileges, {"may_create": False}, Mark.WARNING, "GRANT CREATE"),
        (database_checks.privileges, {"may_create": False, "tables": []}, Mark.PROBLEM, "GRANT CREATE"),
        (database_checks.migrated, {"revision": None, "tables": []}, Mark.PROBLEM, "python -m app migrate"),
        (
            database_checks.migrated,
            {"revision": None, "tables": ["alembic_version"]},
            Mark.PROBLEM,
            "python -m app migrate",
        ),
        (
            database_checks.migrated,
            {"revision": None, "tables": ["users"]},
            Mark.PROBLEM,
            "Point DATABASE_URL at an empty database",
        ),
        (
            database_checks.migrated,
            {"forbidden": ["alembic_version"]},
            Mark.SKIPPED,
            "checking them needs the privileges",
        ),
        (database_checks.migrated, {"revision": BEHIND}, Mark.PROBLEM, "python -m app migrate"),
        (database_checks.migrated, {"revision": "of_another_version"}, Mark.WARNING, "newer version"),
        (database_checks.indexes, {"invalid_indexes": ["ix_a"]}, Mark.PROBLEM, "ix_a"),
        (database_checks.partitions, {"ahead": {}}, Mark.SKIPPED, "migrations"),
        (database_checks.partitions, {"ahead": {"events": timedelta(days=13)}}, Mark.WARNING, "-> python -m app prune"),
        (
            database_checks.partitions,
            {"ahead": {"events": timedelta(days=13)}, "pruner": "admin"},
            Mark.WARNING,
            "-> Run it as admin every day",
        ),
        (database_checks.partitions, {"pruner": "admin"}, Mark.OK, "Run it as admin every day, as orders may not"),
        (database_checks.connections, {"connections": 11}, Mark.PROBLEM, "is 13 of 11"),
        (database_checks.clocks, {"now": NOW + timedelta(seconds=90)}, Mark.PROBLEM, "90 s apart"),
        (database_checks.clocks, {"now": NOW - timedelta(seconds=90)}, Mark.PROBLEM, "90 s apart"),
    ],
)
def test_what_a_database_may_lack(
    check: Callable[[Facts, Settings], Finding], changed: dict[str, Any], mark: Mark, expected: str
) -> None:
    direct = Settings(database_direct_url=None)
    assert check(GOOD, direct).mark is Mark.OK
    found = check(GOOD._replace(**changed), direct)
    assert found.mark is mark
    assert expected in f"{found.what} -> {found.remedy}"


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"max_instances": 7}, "MAX_INSTANCES * WORKERS * (DATABASE_POOL_SIZE + 3) is 91 of 97 connections"),
        ({"max_instances": 9}, "is 117 of 97 connections"),
        (
            {
                "max_instances": 33,
                "database_url": "postgresql://localhost/shop",
                "database_direct_url": "postgresql://localhost/direct",
            },
            "MAX_INSTANCES * WORKERS * 3 is 99 of 97 connections, beside those of the pooler",
        ),
    ],
)
def test_the_connections_of_all_instances_are_counted(settings: dict[str, Any], expected: str) -> None:
    found = database_checks.connections(GOOD, Settings(**{"database_direct_url": None, **settings}))
    assert expected in found.what
    assert (found.mark is Mark.OK) == ("91" in found.what)


async def found_in(url: str | None) -> list[Finding]:
    """Return what is found in a database without a pooler."""
    return await gathered(database_checks.database(Settings(database_url=url, database_direct_url=None)))


async def test_a_database_that_is_as_it_should_be(direct_url: str) -> None:
    findings = await found_in(direct_url)
    assert marks(findings) == [Mark.OK] * 9, findings


def tables(connection: Connection) -> list[str]:
    return list(connection.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")))


async def test_an_empty_database_stays_empty(database: str) -> None:
    findings = await found_in(database)
    assert [finding.what for finding in findings if finding.mark is Mark.PROBLEM] == ["migrations are missing"]
    assert await asyncio.to_thread(run_on, database, tables) == []


def test_a_user_who_may_do_little(database: str) -> None:
    command.upgrade(alembic_config(database), "head")
    name = f"visitor_{os.getpid()}"

    run_on(database, lambda connection: execute(connection, f"CREATE ROLE {name} LOGIN"))
    try:
        url = make_url(database).set(username=name).render_as_string()
        findings = asyncio.run(found_in(url))
    finally:
        run_on(database, lambda connection: execute(connection, f"DROP ROLE {name}"))
    (problem,) = [finding for finding in findings if finding.mark is Mark.PROBLEM]
    assert problem.what.startswith(f"{name} may not read and write alembic_version, ")


async def test_tables_of_others(database: str) -> None:
    """One of a name that this API does not use is nobody's business; one that it does is in the way."""

    def make(connection: Connection, table: str) -> None:
        connection.execute(text(f"CREATE TABLE {table} (id int)"))
        connection.commit()

    async def found() -> list[str]:
        findings = await found_in(database)
        return [finding.what for finding in findings if finding.mark is Mark.PROBLEM]

    await asyncio.to_thread(run_on, database, lambda connection: make(connection, "spatial_ref_sys"))
    assert await found() == ["migrations are missing"]
    await asyncio.to_thread(run_on, database, lambda connection: make(connection, "users"))
    assert await found() == ["the database has tables that no migration of this API made: users"]


@pytest.mark.parametrize("lacking", ["SELECT", "INSERT", "UPDATE", "DELETE"])
async def test_a_user_who_may_do_all_but_one_thing(database: str, lacking: str) -> None:
    name = f"visitor_{os.getpid()}"
    granted = ", ".join({"SELECT", "INSERT", "UPDATE", "DELETE"} - {lacking})

    statements = ("CREATE TABLE stores ()", f"CREATE ROLE {name} LOGIN", f"GRANT {granted} ON stores TO {name}")
    await asyncio.to_thread(run_on, database, lambda connection: execute(connection, *statements))
    try:
        facts = await database_checks._facts(make_url(database).set(username=name).render_as_string())
    finally:
        gone = (f"DROP OWNED BY {name}", f"DROP ROLE {name}")
        await asyncio.to_thread(run_on, database, lambda connection: execute(connection, *gone))
    assert facts.forbidden == ["stores"]


async def test_a_database_that_does_not_answer() -> None:
    (finding,) = await found_in("postgresql://ann:hunter2@127.0.0.1:1/shop")
    assert finding.mark is Mark.PROBLEM
    assert "nothing listens there" in finding.what
    assert "hunter2" not in finding.what + finding.remedy


@pytest.mark.parametrize(
    ("version", "place", "mark"), [(18, "", Mark.OK), (18, "file", Mark.PROBLEM), (0, "", Mark.PROBLEM)]
)
async def test_an_embedded_postgres_that_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int, place: str, mark: Mark
) -> None:
    (tmp_path / "file").touch()
    home = tmp_path / place / "new" / "postgres"
    monkeypatch.setattr(postgres, "home_of", lambda _: home)
    monkeypatch.setattr(postgres, "version_to_start", lambda: version)
    assert marks(await found_in(None)) == [mark, Mark.SKIPPED]
    assert not home.parent.exists()


async def test_an_embedded_postgres_that_runs_is_looked_at(direct_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "running_url", lambda _: direct_url)
    assert marks(await found_in(None)) == [Mark.OK] * 10


async def test_a_redis_that_is_away(tmp_path: Path) -> None:
    assert (await doctor.redis(Settings())).mark is Mark.SKIPPED
    away = await doctor.redis(Settings(rate_limit_storage=f"redis+unix://{tmp_path}/nobody"))
    assert (away.mark, "RATE_LIMIT_STORAGE" in away.remedy) == (Mark.PROBLEM, True)


async def test_a_redis_that_answers(redis_url: str) -> None:
    assert (await doctor.redis(Settings(rate_limit_storage=redis_url))).mark is Mark.OK


def test_the_command_ends_well_where_nothing_must_be_mended(direct_url: str) -> None:
    result = run("doctor", DATABASE_URL=direct_url, PORT="0", PYTHONIOENCODING="utf-8")
    assert result.returncode == 0, result.stdout
    lines = result.stdout.splitlines()
    assert lines[-1].startswith("No problems found")
    assert all(line.startswith(("✓  ", "!  ", "–  ", "   -> ")) for line in lines[:-2])


@pytest.mark.parametrize(
    ("warnings", "last"),
    [(0, "No problems found."), (1, "No problems found, 1 warning."), (2, "No problems found, 2 warnings.")],
)
def test_the_last_line_counts_the_warnings(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], warnings: int, last: str
) -> None:
    async def examine() -> AsyncIterator[Finding]:
        yield Finding(Mark.OK, "Python")
        for _ in range(warnings):
            yield Finding(Mark.WARNING, "something could be better")

    monkeypatch.setattr(doctor, "examine", examine)
    commands.doctor()
    assert capsys.readouterr().out.splitlines()[-1] == last


async def test_a_setting_under_its_old_name_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMPILED_LANE", "false")
    findings = await gathered(doctor.examine())
    assert [finding.what for finding in findings if "COMPILED_PATH" in finding.remedy] == [
        "COMPILED_LANE has no effect"
    ]


def test_the_command_fails_where_something_must_and_needs_no_unicode() -> None:
    result = run("doctor", DATABASE_URL="postgresql://ann@/shop?host=/ström", PYTHONIOENCODING="ascii", PORT="0")
    assert result.returncode == 1
    assert "no Postgres answers at the socket in /str?m" in result.stdout
    assert result.stderr == ""
    assert result.stdout.isascii()
    lines = result.stdout.splitlines()
    (at,) = [index for index, line in enumerate(lines) if line.startswith("x  ")]
    assert lines[at + 1].startswith("   -> ")
    assert lines[-1] == "Problems to fix: 1."


def test_settings_that_cannot_be_read_do_not_stop_it(run_failing: RunFailing) -> None:
    assert run_failing("doctor", PORT="http").code == 1
