"""Whatever is wrong around a command is explained in one line, with a remedy, and never by a traceback."""

import os
import re
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest
from alembic import command
from asyncpg import DiskFullError
from sqlalchemy import Connection, make_url, text

from app import __main__ as start
from app.cli import databases, troubles
from app.cli.troubles import trouble_of
from app.db import startup
from app.db.migrations import alembic_config
from app.monitoring.workers import figures_shared
from app.settings import ROOT, Settings
from tests.cli.conftest import RunFailing
from tests.databases import create_database, drop_database, run_on
from tools import postgres


@pytest.fixture
def database(server_url: str) -> Iterator[str]:
    """An empty database."""
    url = create_database(server_url, f"orders_test_troubles_{os.getpid()}")
    yield url
    drop_database(url)


@contextmanager
def answering(*answers: bytes) -> Iterator[int]:
    """Listen, and answer each message of a client with the next of these; yield the port."""

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client:
                for answer in answers:
                    client.recv(1000)
                    client.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def refusal(code: str, message: str) -> bytes:
    """Return Postgres's message that a connection cannot be."""
    fields = b"".join(f"{field}{value}\0".encode() for field, value in (("S", "FATAL"), ("C", code), ("M", message)))
    return b"E" + struct.pack("!i", len(fields) + 5) + fields + b"\0"


@pytest.mark.parametrize(
    ("code", "message", "expected"),
    [
        ("28P01", 'password authentication failed for user "ann"', "rejects the password of 'ann'"),
        ("28000", 'role "ann" does not exist', "createuser --pwprompt"),
        ("28000", "no pg_hba.conf entry for host, no encryption", "no encryption"),
        ("3D000", 'database "shop" does not exist', 'createdb "shop"'),
        ("53300", "sorry, too many clients already", "Lower DATABASE_POOL_SIZE"),
        ("57P03", "the database system is starting up", "Try again"),
        ("25006", "cannot do this in a read-only transaction", "at the primary, not at a standby"),
    ],
)
def test_whatever_postgres_refuses(run_failing: RunFailing, code: str, message: str, expected: str) -> None:
    with answering(b"N", refusal(code, message)) as port:
        line = run_failing("migrate", DATABASE_URL=f"postgresql://ann:hunter2@127.0.0.1:{port}/shop").last_line
    assert expected in line
    assert str(port) in line
    assert "hunter2" not in line


def test_what_is_no_postgres(run_failing: RunFailing) -> None:
    with answering(b"HTTP/1.0 400 Bad Request\r\n\r\n") as port:
        line = run_failing("migrate", DATABASE_URL=f"postgresql://ann@127.0.0.1:{port}/shop?sslmode=disable").last_line
    assert f"127.0.0.1:{port}" in line
    assert "DATABASE_URL" in line


def test_a_server_without_tls(run_failing: RunFailing) -> None:
    with answering(b"N") as port:
        ended = run_failing(
            "migrate",
            DATABASE_URL=f"postgresql://ann@127.0.0.1:{port}/shop?sslmode=require",
            DATABASE_START_WAIT_SECONDS="60",
        )
    assert ended.text.splitlines() == [ended.last_line], "there is nothing to wait for"
    assert ended.last_line.startswith(f"Cannot establish TLS with Postgres at 127.0.0.1:{port}: ")
    assert "sslmode" in ended.last_line


@pytest.mark.parametrize("parameter", ["sslmode=maybe", "sslmode=prefer&direct_tls=true"])
def test_parameters_that_the_driver_does_not_like(run_failing: RunFailing, parameter: str) -> None:
    ended = run_failing("migrate", DATABASE_URL=f"postgresql://ann:hunter2@127.0.0.1:1/shop?{parameter}")
    (line,) = ended.text.splitlines()
    assert line.startswith("The driver cannot connect to 127.0.0.1:1: ")
    assert line.endswith("Correct the parameters of DATABASE_URL.")
    assert "hunter2" not in line


def test_a_server_whose_certificate_is_not_trusted() -> None:
    trouble = trouble_of(ssl.SSLCertVerificationError(1, "self-signed certificate"), "postgresql://ann@db/shop")
    assert trouble is not None
    assert trouble.what.startswith("cannot establish TLS with Postgres at db:5432: ")
    assert "self-signed certificate" in trouble.what


@pytest.mark.parametrize("command", ["migrate", "serve", "seed"])
def test_a_server_that_is_too_old(
    run_failing: RunFailing, database: str, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    for module in (startup, troubles):
        monkeypatch.setattr(module, "OLDEST_POSTGRES", 99)
    line = run_failing(command, DATABASE_URL=database, PORT="0").last_line
    assert re.fullmatch(r"Postgres \d+\.\d+.* is too old\. Upgrade it to 99 or newer\.", line)


def test_a_database_that_has_not_all_letters(run_failing: RunFailing, server_url: str) -> None:
    name = f"orders_test_latin_{os.getpid()}"

    def execute(connection: Connection, statement: str) -> None:
        connection.execution_options(isolation_level="AUTOCOMMIT").execute(text(statement))

    run_on(server_url, lambda it: execute(it, f"CREATE DATABASE {name} TEMPLATE template0 ENCODING LATIN1 LOCALE 'C'"))
    try:
        url = make_url(server_url).set(database=name).render_as_string(hide_password=False)
        line = run_failing("migrate", DATABASE_URL=url).last_line
    finally:
        run_on(server_url, lambda it: execute(it, f"DROP DATABASE {name}"))
    assert line.startswith("The encoding of the database is LATIN1. Recreate it: ")


def test_a_database_that_others_use(run_failing: RunFailing, database: str) -> None:
    def be_taken(connection: Connection) -> None:
        connection.execute(text("CREATE TABLE users (name text)"))
        connection.commit()

    run_on(database, be_taken)
    line = run_failing("migrate", DATABASE_URL=database).last_line
    assert 'contains something that isn\'t part of this API: relation "users" already exists. Point' in line


@pytest.mark.parametrize("command", ["migrate", "serve", "seed"])
def test_a_database_that_nobody_serves(run_failing: RunFailing, command: str) -> None:
    line = run_failing(command, DATABASE_URL="postgresql://ann@127.0.0.1:1/shop", PORT="0").last_line
    assert line.startswith(
        "No Postgres answers at 127.0.0.1:1: nothing listens there. Start it, or correct DATABASE_URL."
    )


def test_a_host_that_there_is_not(run_failing: RunFailing) -> None:
    url = "postgresql://ann@no.such.host.invalid/shop"
    line = run_failing("migrate", DATABASE_URL=url, SECRET_KEY="0123456789abcdef" * 2).last_line
    assert line == "There is no host 'no.such.host.invalid'. Correct the host in DATABASE_URL."


def test_a_socket_that_is_not_there(run_failing: RunFailing) -> None:
    ended = run_failing("migrate", DATABASE_URL="postgresql://ann@/shop?host=/nowhere")
    assert "the socket in /nowhere: nothing listens there" in ended.last_line


@pytest.mark.parametrize("arguments", [("migrate",), ("serve", "--migrate"), ("seed",)])
def test_a_database_of_a_newer_version(run_failing: RunFailing, database: str, arguments: tuple[str, ...]) -> None:
    def be_ahead(connection: Connection) -> None:
        connection.execute(text("UPDATE alembic_version SET version_num = 'of_another_version'"))
        connection.commit()

    command.upgrade(alembic_config(database), "head")
    run_on(database, be_ahead)
    line = run_failing(*arguments, DATABASE_URL=database, PORT="0").last_line
    assert line.startswith("A newer version of this API has migrated the database")
    assert "Run that version" in line


def test_a_user_without_rights(run_failing: RunFailing, database: str) -> None:
    name = f"nobody_{os.getpid()}"

    def as_superuser(statement: str) -> None:
        def execute(connection: Connection) -> None:
            connection.execute(text(statement))
            connection.commit()

        run_on(database, execute)

    as_superuser(f"CREATE ROLE {name} LOGIN")
    try:
        line = run_failing("migrate", DATABASE_URL=make_url(database).set(username=name).render_as_string()).last_line
    finally:
        as_superuser(f"DROP ROLE {name}")
    assert f'GRANT CREATE, USAGE ON SCHEMA public TO "{name}"' in line


def test_a_file_that_cannot_be_written(run_failing: RunFailing) -> None:
    line = run_failing("schema", "--output", "/nowhere/schema.graphql").last_line
    assert line.startswith("Cannot use /nowhere/schema.graphql (No such file or directory).")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("serve", "--port", "65536"), "--port"),
        (("serve", "--port", "eighty"), "--port"),
        (("serve", "--workers", "0"), "--workers"),
        (("seed", "--stores", "0"), "--stores"),
        (("seed", "--orders", "5"), "--products"),
        (("migration", " "), "make migration"),
        (("migration", "''"), "make migration"),
        (("migration",), "message"),
        (("sevre",), "serve"),
        (("create-superuser", "--email"), "--email"),
    ],
)
def test_wrong_or_missing_input(run_failing: RunFailing, arguments: tuple[str, ...], expected: str) -> None:
    assert expected in run_failing(*arguments, DATABASE_URL="postgresql://ann@127.0.0.1:1/shop").text


@pytest.mark.parametrize("host", ["no.such.host.invalid", "203.0.113.1"])
def test_an_address_that_is_not_this_machines(run_failing: RunFailing, host: str) -> None:
    environment = {
        "PORT": "0",
        "DATABASE_URL": "postgresql://ann@127.0.0.1:1/shop",
        "SECRET_KEY": "0123456789abcdef" * 2,
    }
    line = run_failing("serve", "--host", host, **environment).last_line
    assert line.startswith("HOST: ")


def test_workers_without_a_directory_for_the_figures_that_they_share(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: [str(tmp_path / "none")])
    monkeypatch.setattr(tempfile, "tempdir", None)
    with pytest.raises(FileNotFoundError) as failed, figures_shared(2):
        pass
    assert str(trouble_of(failed.value, "postgresql+asyncpg://ann@db/shop")) == (
        "There is no directory for temporary files that this user can write. Set TMPDIR to one."
    )


def test_a_disk_without_room() -> None:
    trouble = trouble_of(DiskFullError("could not extend file"), "postgresql://ann@db/shop")
    assert str(trouble) == "The disk of the database is full. Free some space and try again."


def test_a_failure_of_ours_is_not_explained_away() -> None:
    assert trouble_of(KeyError("nothing around us"), "postgresql://ann@db/shop") is None
    assert trouble_of(ConnectionRefusedError(), None) is None


def test_an_interpreter_without_the_packages() -> None:
    bare = subprocess.run(
        [sys.executable, "-S", "-m", "app", "serve"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert bare.returncode == 1
    (line,) = bare.stderr.splitlines()
    assert re.search(r"has no package '\w+'\. `make run` installs", line)


def test_an_interpreter_that_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "OLDEST_PYTHON", (99, 0))
    with pytest.raises(SystemExit, match=r"^Python 3\.11 or newer is required"):
        start.run()


def test_ctrl_c_while_it_waits_ends_it_without_a_word() -> None:
    waiting = subprocess.Popen(
        [sys.executable, "-m", "app", "migrate"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "DATABASE_URL": "postgresql://ann@127.0.0.1:1/shop"},
        stderr=subprocess.PIPE,
        text=True,
    )
    with waiting:
        assert waiting.stderr is not None
        assert waiting.stderr.readline().startswith("waiting up to 60 s")
        waiting.send_signal(signal.SIGINT)
        assert waiting.wait(timeout=20) == start.INTERRUPTED
        assert waiting.stderr.read().strip() == ""


def test_an_embedded_postgres_without_a_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    monkeypatch.setattr(postgres, "home_of", lambda _: in_the_way / "postgres")
    with (
        pytest.raises(OSError, match="Not a directory") as caught,
        databases.database(Settings(database_url=None, database_direct_url=None)),
    ):
        pass
    trouble = trouble_of(caught.value, None)
    assert trouble is not None
    assert str(trouble).startswith(f"Cannot use {in_the_way}/postgres (Not a directory)")
