"""`sslmode=verify-full` connects to a server that the authority vouches for, and to no other."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode

import pytest
from sqlalchemy import make_url

from app.db.engine import connect, open_database
from app.process.readiness import why_not_ready
from app.settings import Settings
from tests.certificates import Authority
from tests.cli.conftest import RunFailing, run_failing
from tests.clusters import Node, programs
from tools.postgres_keeper import server_account

__all__ = ["run_failing"]
IS_ENCRYPTED = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
PATIENCE = 10


class Encrypted(NamedTuple):
    """A Postgres at 127.0.0.1 that has a certificate, and certificates of authorities: its own, and another one."""

    port: int
    authority: Path
    stranger: Path

    def url(self, authority: Path, hosts: str = "127.0.0.1") -> str:
        """Return its URL as an operator writes it."""
        query = urlencode({"sslmode": "verify-full", "sslrootcert": str(authority)})
        places = ",".join(f"{host}:{self.port}" for host in hosts.split(","))
        return f"postgresql://postgres@{places}/postgres?{query}"

    def settings(self, authority: Path, hosts: str = "127.0.0.1") -> Settings:
        """Return settings with this URL."""
        return Settings(database_url=self.url(authority, hosts), database_direct_url=None)


@pytest.fixture(scope="module")
def encrypted() -> Iterator[Encrypted]:
    with tempfile.TemporaryDirectory() as folder:
        root, authority = Path(folder), Authority()
        node = Node(root / "data", programs())
        authority.write_server(root / "server.crt", root / "server.key", "127.0.0.1")
        account = server_account()
        for path in (root, root / "server.crt", root / "server.key"):
            if account:
                os.chown(path, account.pw_uid, account.pw_gid)
        try:
            node.run("initdb", "-D", node.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "-N")
            node.start(ssl="on", ssl_cert_file=str(root / "server.crt"), ssl_key_file=str(root / "server.key"))
            yield Encrypted(node.port, authority.write(root / "ca.crt"), Authority().write(root / "other.crt"))
        finally:
            if node.process is not None:
                node.kill()


def run_failing_at_once(run_failing: RunFailing, **environment: str) -> str:
    """Serve, which must fail without waiting for Postgres; return the reason."""
    ended = run_failing("serve", **environment, DATABASE_START_WAIT_SECONDS="5", PORT="0")
    assert "waiting" not in ended.text
    return ended.last_line


async def is_encrypted(settings: Settings) -> list[bool]:
    """Return whether a connection of the pool is encrypted, and one beside it."""
    assert settings.database_url is not None
    database = open_database(settings.database_url, settings)
    driver = await connect(make_url(settings.database_url), "test", PATIENCE)
    try:
        return [(await database.driver_row(IS_ENCRYPTED, []))[0], await driver.fetchval(IS_ENCRYPTED)]
    finally:
        driver.terminate()
        await database.close()


@pytest.mark.parametrize("hosts", ["127.0.0.1", "127.0.0.1,127.0.0.1"], ids=["one host", "two hosts"])
async def test_a_server_that_the_authority_vouches_for_is_connected_to(encrypted: Encrypted, hosts: str) -> None:
    assert await is_encrypted(encrypted.settings(encrypted.authority, hosts)) == [True, True]


@pytest.mark.parametrize("hosts", ["127.0.0.1", "127.0.0.1,127.0.0.1"], ids=["one host", "two hosts"])
def test_a_server_of_another_authority_ends_the_start(
    encrypted: Encrypted, run_failing: RunFailing, hosts: str
) -> None:
    url = encrypted.url(encrypted.stranger, hosts)
    line = run_failing_at_once(run_failing, DATABASE_URL=url)
    assert "certificate verify failed" in line
    assert f"at {', '.join(f'{host}:{encrypted.port}' for host in hosts.split(','))}: " in line
    assert "Correct sslmode, sslrootcert or the host in DATABASE_URL" in line


def test_a_server_whose_certificate_has_another_name_ends_the_start(
    encrypted: Encrypted, run_failing: RunFailing
) -> None:
    line = run_failing_at_once(run_failing, DATABASE_URL=encrypted.url(encrypted.authority, "localhost"))
    assert "Hostname mismatch" in line
    assert "Correct sslmode, sslrootcert or the host in DATABASE_URL" in line


def test_a_direct_url_of_another_authority_is_named(encrypted: Encrypted, run_failing: RunFailing) -> None:
    urls = {
        "DATABASE_URL": encrypted.url(encrypted.authority),
        "DATABASE_DIRECT_URL": encrypted.url(encrypted.stranger),
    }
    line = run_failing_at_once(run_failing, **urls)
    assert "Correct sslmode, sslrootcert or the host in DATABASE_DIRECT_URL" in line


def test_a_missing_file_of_the_authority_is_named(encrypted: Encrypted, run_failing: RunFailing) -> None:
    url = encrypted.url(encrypted.authority.with_name("missing.crt"))
    line = run_failing_at_once(run_failing, DATABASE_URL=url)
    assert line.startswith("Cannot read ")
    assert "missing.crt (No such file or directory). Correct sslrootcert in DATABASE_URL" in line


async def test_a_process_that_does_not_trust_its_server_is_not_ready(encrypted: Encrypted) -> None:
    assert await why_not_ready(make_url(str(encrypted.settings(encrypted.stranger).database_url)))
