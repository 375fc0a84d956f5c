"""Waits for the database when a command starts, and checks that the API can use it."""

import asyncio
import ssl
from collections.abc import Callable
from typing import Any, NamedTuple

import asyncpg
from sqlalchemy import make_url

from app.db.engine import connect

OLDEST_POSTGRES = 15
_POLL_SECONDS = 0.2
_CONNECT_SECONDS = 10.0


class PostgresInfo(NamedTuple):
    """What Postgres reports about itself to every client."""

    version: str
    major: int
    encoding: str


class UnsuitableDatabase(Exception):
    """The database answers, but the API cannot use it: the server is too old, or the encoding isn't UTF8."""

    def __init__(self, server: PostgresInfo) -> None:
        super().__init__(f"Postgres {server.version} in {server.encoding}")
        self.server = server


async def wait_for_database(url: str, seconds: float, announce: Callable[[str], None]) -> None:
    """Return once the database answers; announce the wait, and raise the last error after `seconds`.
    UnsuitableDatabase if the API cannot use it."""
    deadline = asyncio.get_running_loop().time() + seconds
    announced = False
    while True:
        try:
            connection = await connect(make_url(url), "start", _CONNECT_SECONDS)
            break
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            if not _may_pass(error) or asyncio.get_running_loop().time() >= deadline:
                raise
            if not announced:
                where = make_url(url).render_as_string(hide_password=True)
                announce(f"waiting up to {seconds:.0f} s for the database at {where}: {error}")
                announced = True
        await asyncio.sleep(_POLL_SECONDS)
    try:
        _require_suitable(connection)
    finally:
        connection.terminate()


def _require_suitable(connection: "asyncpg.Connection[Any]") -> None:
    settings, version = connection.get_settings(), connection.get_server_version()
    server = PostgresInfo(settings.server_version, version.major, settings.server_encoding)
    if server.major < OLDEST_POSTGRES or server.encoding != "UTF8":
        raise UnsuitableDatabase(server)


def is_about_tls(failure: BaseException) -> bool:
    """Return whether the peers failed to agree on TLS, which waiting won't change."""
    texts = ("[SSL: ", "rejected SSL upgrade")  # of several servers, the driver's failures are in the text
    return isinstance(failure, ssl.SSLError) or any(text in str(failure) for text in texts)


def _may_pass(error: Exception) -> bool:
    """Return whether the database may still be starting, as opposed to rejecting this client for good."""
    if isinstance(error, OSError):
        return error.filename is None and not is_about_tls(error)
    return isinstance(error, (asyncpg.CannotConnectNowError, asyncpg.ConnectionDoesNotExistError))
