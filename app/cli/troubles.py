"""What may be wrong around the process, in words: what it is, and what to do about it."""

import errno
import socket
from collections.abc import Callable, Iterator
from ssl import SSLError
from typing import NamedTuple

from alembic.util import CommandError
from asyncpg import (
    CannotConnectNowError,
    ClientConfigurationError,
    ConnectionDoesNotExistError,
    DiskFullError,
    DuplicateObjectError,
    DuplicateTableError,
    InsufficientPrivilegeError,
    InterfaceError,
    InternalClientError,
    InvalidAuthorizationSpecificationError,
    InvalidCatalogNameError,
    InvalidPasswordError,
    PostgresConnectionError,
    ReadOnlySQLTransactionError,
    TooManyConnectionsError,
)
from sqlalchemy import URL, make_url

from app.db.engine import OLDEST_POSTGRES, Server, UnsuitableDatabase, is_about_tls

NEWER_DATABASE = "the database has been migrated by a newer version of this API, which this one does not know"
USE_THAT_VERSION = "Run that version, or restore a backup from before it (docs/operations.md)."


class Trouble(NamedTuple):
    """What is wrong, and what to do about it."""

    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what[:1].upper()}{self.what[1:]}. {self.remedy}"


def trouble_of(failure: BaseException, database_url: str | None) -> Trouble | None:
    """Return what a failure comes from, where that is something around the process; None where it is a fault of ours.
    Without a URL the database is an embedded one."""
    url = make_url(database_url) if database_url else None
    for cause in _causes(failure):
        trouble = _of_anything(cause) or (_of_database(cause, url) if url is not None else None)
        if trouble is not None:
            return trouble
    return None


def trouble_with(server: Server) -> Trouble | None:
    """Return why a Postgres that answers cannot be worked with; None where it can."""
    if server.major < OLDEST_POSTGRES:
        return Trouble(f"Postgres {server.version} is too old", f"Upgrade it to {OLDEST_POSTGRES} or newer.")
    if server.encoding != "UTF8":
        return Trouble(f"the database is in {server.encoding}", "Make it anew: createdb -T template0 -E UTF8 …")
    return None


def place_of(url: URL) -> str:
    """Return where a database is, without the password."""
    query_host = url.query.get("host")
    host = url.host or (query_host if isinstance(query_host, str) else None)
    if host is None:
        return "the usual socket"
    return f"the socket in {host}" if host.startswith("/") else f"{host}:{url.port or 5432}"


def _causes(failure: BaseException | None) -> Iterator[BaseException]:
    """Yield a failure and what is beneath it, as SQLAlchemy wraps the driver's."""
    while failure is not None:
        yield failure
        failure = getattr(failure, "orig", None) or failure.__cause__


def _of_database(failure: BaseException, url: URL) -> Trouble | None:
    explain = next((explain for kinds, explain in _DATABASE if isinstance(failure, kinds)), None)
    return None if explain is None else explain(failure, url)


def _of_anything(failure: BaseException) -> Trouble | None:
    if isinstance(failure, OSError) and failure.filename is not None:
        return Trouble(
            f"{failure.filename} cannot be used ({failure.strerror})", "See that this user can read and write it."
        )
    if isinstance(failure, CommandError):
        if "locate revision" in str(failure):
            return Trouble(NEWER_DATABASE, USE_THAT_VERSION)
        return Trouble(f"the migrations cannot be run: {failure}", "See alembic/versions.")
    if isinstance(failure, UnsuitableDatabase):
        return trouble_with(failure.server)
    if isinstance(failure, DiskFullError):
        return Trouble("the disk of the database is full", "Make room, and try again.")
    return None


def _wrong_password(_: BaseException, url: URL) -> Trouble:
    return Trouble(
        f"Postgres at {place_of(url)} refuses the password of {url.username!r}", "Mend the one in DATABASE_URL."
    )


def _not_let_in(failure: BaseException, url: URL) -> Trouble:
    return Trouble(
        f"Postgres at {place_of(url)} does not let {url.username!r} in: {failure}",
        f'Mend the user in DATABASE_URL, or make it: createuser --pwprompt "{url.username}".',
    )


def _no_such_database(_: BaseException, url: URL) -> Trouble:
    return Trouble(
        f"Postgres at {place_of(url)} has no database {url.database!r}",
        f'Mend the name in DATABASE_URL, or make it: createdb "{url.database}".',
    )


def _too_many(_: BaseException, url: URL) -> Trouble:
    return Trouble(
        f"Postgres at {place_of(url)} has no connection left",
        "Lower DATABASE_POOL_SIZE or WORKERS, or raise its max_connections.",
    )


def _coming_up(_: BaseException, url: URL) -> Trouble:
    return Trouble(
        f"Postgres at {place_of(url)} starts or stops at this moment",
        "Try again, or raise DATABASE_START_WAIT_SECONDS.",
    )


def _no_rights(failure: BaseException, url: URL) -> Trouble:
    return Trouble(
        f"Postgres does not let {url.username!r} do this: {failure}",
        f'Give it the right, such as: GRANT CREATE, USAGE ON SCHEMA public TO "{url.username}". '
        "`python -m app doctor` knows all that it lacks.",
    )


def _of_others(failure: BaseException, url: URL) -> Trouble:
    return Trouble(
        f"the database {url.database!r} holds something that is not of this API: {failure}",
        "Let DATABASE_URL name an empty one; createdb makes it.",
    )


def _standby(_: BaseException, url: URL) -> Trouble:
    return Trouble(
        f"the database at {place_of(url)} can only be read", "Let DATABASE_URL name the primary, not a standby."
    )


def _unknown_host(_: BaseException, url: URL) -> Trouble:
    return Trouble(f"there is no host {url.host!r}", "Mend the host in DATABASE_URL.")


def _unreachable(failure: BaseException, url: URL) -> Trouble:
    if is_about_tls(failure):
        return Trouble(
            f"no TLS with Postgres at {place_of(url)}: {failure}",
            "Mend sslmode in DATABASE_URL, or the certificate of the server.",
        )
    reason = "nobody listens" if _is_refused(failure) else str(failure) or "no answer in time"
    return Trouble(
        f"no Postgres answers at {place_of(url)}: {reason}",
        "Start it, or mend DATABASE_URL. In development none is needed: unset it, and an embedded one starts.",
    )


def _no_postgres(failure: BaseException, url: URL) -> Trouble:
    return Trouble(
        f"what answers at {place_of(url)} does not speak as Postgres does: {failure}",
        "Mend host, port and sslmode in DATABASE_URL.",
    )


def _misconfigured(failure: BaseException, url: URL) -> Trouble:
    reason = " ".join(str(failure).split()).rstrip(".")
    return Trouble(f"the driver cannot connect to {place_of(url)}: {reason}", "Mend the parameters of DATABASE_URL.")


def _is_refused(failure: BaseException) -> bool:
    """Tell whether nobody is there, at any of the addresses that the host has, or at the socket."""
    gone = (errno.ECONNREFUSED, errno.ENOENT)
    return getattr(failure, "errno", None) in gone or "Errno 111" in str(failure)


_DATABASE: tuple[tuple[tuple[type[BaseException], ...], Callable[[BaseException, URL], Trouble]], ...] = (
    ((InvalidPasswordError,), _wrong_password),
    ((InvalidAuthorizationSpecificationError,), _not_let_in),
    ((InvalidCatalogNameError,), _no_such_database),
    ((TooManyConnectionsError,), _too_many),
    ((CannotConnectNowError,), _coming_up),
    ((InsufficientPrivilegeError,), _no_rights),
    ((DuplicateTableError, DuplicateObjectError), _of_others),
    ((ReadOnlySQLTransactionError,), _standby),
    ((socket.gaierror,), _unknown_host),
    ((ClientConfigurationError,), _misconfigured),
    ((ConnectionDoesNotExistError, InternalClientError, InterfaceError), _no_postgres),
    ((PostgresConnectionError, SSLError, ConnectionError, FileNotFoundError, TimeoutError), _unreachable),
)
