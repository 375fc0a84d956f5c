"""Explains failures around the process in one line: what is wrong, and what to do about it."""

import errno
import socket
from collections.abc import Iterator
from ssl import SSLError
from typing import NamedTuple

import asyncpg
from alembic.util import CommandError
from sqlalchemy import URL, make_url

from app.db.startup import OLDEST_POSTGRES, PostgresInfo, UnsuitableDatabase, is_about_tls

NEWER_DATABASE = "a newer version of this API has migrated the database; this version doesn't know its schema"
USE_THAT_VERSION = "Run that version, or restore a backup taken before the upgrade (docs/operations.md)."
_NO_TLS = "cannot establish TLS with Postgres at {place}: {failure}"
_UNREACHABLE = (asyncpg.PostgresConnectionError, SSLError, ConnectionError, FileNotFoundError, TimeoutError)


class Trouble(NamedTuple):
    """What is wrong, and what to do about it."""

    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what[:1].upper()}{self.what[1:]}. {self.remedy}"


# The first row whose types match explains the failure.
_DATABASE: tuple[tuple[tuple[type[BaseException], ...], str, str], ...] = (
    (
        (asyncpg.InvalidPasswordError,),
        "Postgres at {place} rejects the password of {user!r}",
        "Correct the password in DATABASE_URL.",
    ),
    (
        (asyncpg.InvalidAuthorizationSpecificationError,),
        "Postgres at {place} rejects the user {user!r}: {failure}",
        'Correct the user in DATABASE_URL, or create it: createuser --pwprompt "{user}".',
    ),
    (
        (asyncpg.InvalidCatalogNameError,),
        "Postgres at {place} has no database {database!r}",
        'Correct the name in DATABASE_URL, or create the database: createdb "{database}".',
    ),
    (
        (asyncpg.TooManyConnectionsError,),
        "Postgres at {place} has no connections left",
        "Lower DATABASE_POOL_SIZE or WORKERS, or raise max_connections of Postgres.",
    ),
    (
        (asyncpg.CannotConnectNowError,),
        "Postgres at {place} is starting or stopping",
        "Try again, or raise DATABASE_START_WAIT_SECONDS.",
    ),
    (
        (asyncpg.InsufficientPrivilegeError,),
        "Postgres doesn't allow {user!r} to do this: {failure}",
        'Grant the privilege, for example: GRANT CREATE, USAGE ON SCHEMA public TO "{user}". '
        "`python -m app doctor` lists every missing privilege.",
    ),
    (
        (asyncpg.DuplicateTableError, asyncpg.DuplicateObjectError),
        "the database {database!r} contains something that isn't part of this API: {failure}",
        "Point DATABASE_URL at an empty database; createdb creates one.",
    ),
    (
        (asyncpg.ReadOnlySQLTransactionError,),
        "the database at {place} is read-only",
        "Point DATABASE_URL at the primary, not at a standby.",
    ),
    ((socket.gaierror,), "there is no host {host!r}", "Correct the host in DATABASE_URL."),
    (
        (asyncpg.ClientConfigurationError,),
        "the driver cannot connect to {place}: {failure}",
        "Correct the parameters of DATABASE_URL.",
    ),
    (
        (asyncpg.ConnectionDoesNotExistError, asyncpg.InternalClientError, asyncpg.InterfaceError),
        "the server at {place} doesn't speak the Postgres protocol: {failure}",
        "Correct the host, port and sslmode in DATABASE_URL.",
    ),
    (
        _UNREACHABLE,
        "no Postgres answers at {place}: {reason}",
        "Start it, or correct DATABASE_URL. In development you can unset DATABASE_URL to use an embedded Postgres.",
    ),
)


def trouble_of(failure: BaseException, database_url: str | None) -> Trouble | None:
    """Return the cause of a failure if it lies outside the process; None for a bug of ours.
    Without a URL, the database is an embedded one."""
    url = make_url(database_url) if database_url else None
    for cause in _causes(failure):
        trouble = _of_anything(cause) or (_of_database(cause, url) if url is not None else None)
        if trouble is not None:
            return trouble
    return None


def trouble_with(server: PostgresInfo) -> Trouble | None:
    """Return why the API cannot use this Postgres server; None if it can."""
    if server.major < OLDEST_POSTGRES:
        return Trouble(f"Postgres {server.version} is too old", f"Upgrade it to {OLDEST_POSTGRES} or newer.")
    if server.encoding != "UTF8":
        return Trouble(
            f"the encoding of the database is {server.encoding}", "Recreate it: createdb -T template0 -E UTF8 …"
        )
    return None


def place_of(url: URL) -> str:
    """Return where a database is, without the password."""
    query_host = url.query.get("host")
    host = url.host or (query_host if isinstance(query_host, str) else None)
    if host is None:
        return "the default socket"
    return f"the socket in {host}" if host.startswith("/") else f"{host}:{url.port or 5432}"


def _causes(failure: BaseException | None) -> Iterator[BaseException]:
    """Yield a failure and those beneath it: SQLAlchemy wraps the driver's."""
    while failure is not None:
        yield failure
        failure = getattr(failure, "orig", None) or failure.__cause__


def _of_database(failure: BaseException, url: URL) -> Trouble | None:
    found = next(((what, remedy) for kinds, what, remedy in _DATABASE if isinstance(failure, kinds)), None)
    if found is None:
        return None
    if isinstance(failure, _UNREACHABLE) and is_about_tls(failure):
        found = _NO_TLS, "Correct sslmode in DATABASE_URL, or the certificate of the server."
    message = " ".join(str(failure).split()).rstrip(".")
    facts = {
        "place": place_of(url),
        "user": url.username,
        "database": url.database,
        "host": url.host,
        "failure": message,
        "reason": "nothing listens there" if _is_refused(failure) else message or "it didn't answer in time",
    }
    return Trouble(*(text.format(**facts) for text in found))


def _of_anything(failure: BaseException) -> Trouble | None:
    if isinstance(failure, OSError) and failure.filename is not None:
        return Trouble(
            f"cannot use {failure.filename} ({failure.strerror})", "Make sure that this user can read and write it."
        )
    if isinstance(failure, CommandError):
        if "locate revision" in str(failure):
            return Trouble(NEWER_DATABASE, USE_THAT_VERSION)
        return Trouble(f"cannot run the migrations: {failure}", "See alembic/versions.")
    if isinstance(failure, UnsuitableDatabase):
        return trouble_with(failure.server)
    if isinstance(failure, asyncpg.DiskFullError):
        return Trouble("the disk of the database is full", "Free some space and try again.")
    return None


def _is_refused(failure: BaseException) -> bool:
    """Return whether nothing listens at any address of the host, or at the socket."""
    gone = (errno.ECONNREFUSED, errno.ENOENT)
    return getattr(failure, "errno", None) in gone or "Errno 111" in str(failure)
