"""Explains failures around the process in one line: what is wrong, and what to do about it."""

import errno
import socket
from collections.abc import Iterator

import asyncpg
from alembic.util import CommandError
from sqlalchemy import URL, make_url

from app.cli.output import Finding, problem
from app.db.servers import Servers
from app.db.startup import OLDEST_POSTGRES, PostgresInfo, UnsuitableDatabase, is_about_tls

NEWER_DATABASE = "a newer version of this API has migrated the database; this version doesn't know its schema"
USE_THAT_VERSION = (
    "Run that version, or restore a backup taken before the upgrade (docs/operations.md). In development, go back to "
    "the branch that has the migration, or start over (README.md, Database)."
)


def trouble_of(failure: BaseException, database_url: str | None, name: str = "DATABASE_URL") -> Finding | None:
    """Return the cause of a failure if it lies outside the process; None for a bug of ours.
    Without a URL, the database is an embedded one; otherwise, `name` is the setting that the URL is from."""
    url = make_url(database_url) if database_url else None
    for cause in _causes(failure):
        trouble = (url is not None and _of_parameter(cause, url)) or _of_anything(cause)
        if url is not None:
            message = " ".join(str(cause).split()).rstrip(".")
            trouble = trouble or _refused(cause, url, message) or _unreachable(cause, url, message)
        if trouble is not None:
            return trouble._replace(remedy=trouble.remedy.replace("DATABASE_URL", name))
    return None


def trouble_with(server: PostgresInfo) -> Finding | None:
    """Return why the API cannot use this Postgres server; None if it can."""
    if server.major < OLDEST_POSTGRES:
        return problem(f"Postgres {server.version} is too old", f"Upgrade it to {OLDEST_POSTGRES} or newer.")
    if server.encoding != "UTF8":
        what = f"the encoding of the database is {server.encoding}"
        return problem(what, "Recreate it: createdb -T template0 -E UTF8 …")
    return None


def place_of(url: URL) -> str:
    """Return where a database is, without the password."""
    if len(servers := Servers.of(url).names) > 1:
        return ", ".join(map(str, servers))
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


def _of_parameter(failure: BaseException, url: URL) -> Finding | None:
    """Explain a file of certificates that cannot be read."""
    match failure:
        case OSError(filename=str(file), strerror=reason):
            for name, value in url.query.items():
                if value == file:
                    return problem(f"cannot read {file} ({reason})", f"Correct {name} in DATABASE_URL.")
    return None


def _refused(failure: BaseException, url: URL, message: str) -> Finding | None:
    """Explain an error that Postgres returned."""
    place, user, database = place_of(url), url.username, url.database
    match failure:
        case asyncpg.InvalidPasswordError():
            what = f"Postgres at {place} rejects the password of {user!r}"
            remedy = "Correct the password in DATABASE_URL."
        case asyncpg.InvalidAuthorizationSpecificationError():
            what = f"Postgres at {place} rejects the user {user!r}: {message}"
            remedy = f'Correct the user in DATABASE_URL, or create it: createuser --pwprompt "{user}".'
        case asyncpg.InvalidCatalogNameError():
            what = f"Postgres at {place} has no database {database!r}"
            remedy = f'Correct the name in DATABASE_URL, or create the database: createdb "{database}".'
        case asyncpg.TooManyConnectionsError():
            what = f"Postgres at {place} has no connections left"
            remedy = "Lower DATABASE_POOL_SIZE or WORKERS, or raise max_connections of Postgres."
        case asyncpg.CannotConnectNowError():
            what = f"Postgres at {place} is starting or stopping"
            remedy = "Try again, or raise DATABASE_START_WAIT_SECONDS."
        case asyncpg.InsufficientPrivilegeError():
            what = f"Postgres doesn't allow {user!r} to do this: {message}"
            grant = f'Grant the privilege, for example: GRANT CREATE, USAGE ON SCHEMA public TO "{user}".'
            remedy = f"{grant} `python -m app doctor` lists every missing privilege."
        case asyncpg.DuplicateTableError() | asyncpg.DuplicateObjectError():
            what = f"the database {database!r} contains something that isn't part of this API: {message}"
            remedy = "Point DATABASE_URL at an empty database; createdb creates one."
        case asyncpg.ProtocolViolationError():
            return problem(f"the pooler at {place} refuses the connection: {message}", "Its log has the reason.")
        case asyncpg.ReadOnlySQLTransactionError():
            what = f"the database at {place} is read-only"
            remedy = "Point DATABASE_URL at the primary, not at a standby."
        case _:
            return None
    return problem(what, remedy)


def _unreachable(failure: BaseException, url: URL, message: str) -> Finding | None:
    """Explain a connection that could not be established."""
    place = place_of(url)
    match failure:
        case socket.gaierror():
            return problem(f"there is no host {url.host!r}", "Correct the host in DATABASE_URL.")
        case asyncpg.ClientConfigurationError():
            what = f"the driver cannot connect to {place}: {message}"
            return problem(what, "Correct the parameters of DATABASE_URL.")
        case asyncpg.ConnectionDoesNotExistError() | asyncpg.InternalClientError() | asyncpg.InterfaceError():
            what = f"the server at {place} doesn't speak the Postgres protocol: {message}"
            return problem(what, "Correct the host, port and sslmode in DATABASE_URL.")
        case _ if is_about_tls(failure):
            what = f"cannot establish TLS with Postgres at {place}: {message}"
            remedy = "Correct sslmode, sslrootcert or the host in DATABASE_URL, or the certificate of the server."
            return problem(what, remedy)
        case asyncpg.PostgresConnectionError() | ConnectionError() | FileNotFoundError() | TimeoutError():
            reason = "nothing listens there" if _is_refused(failure) else message or "it didn't answer in time"
            embedded = "In development you can unset DATABASE_URL to use an embedded Postgres."
            remedy = f"Start it, or correct DATABASE_URL. {embedded}"
            return problem(f"no Postgres answers at {place}: {reason}", remedy)
    return None


def _of_anything(failure: BaseException) -> Finding | None:
    match failure:
        case FileNotFoundError(filename=None) if "temporary directory" in str(failure):
            return problem("there is no directory for temporary files that this user can write", "Set TMPDIR to one.")
        case OSError(filename=name) if name is not None:
            return problem(f"cannot use {name} ({failure.strerror})", "Make sure that this user can read and write it.")
        case CommandError() if "locate revision" in str(failure):
            return problem(NEWER_DATABASE, USE_THAT_VERSION)
        case CommandError():
            return problem(f"cannot run the migrations: {failure}", "See alembic/versions.")
        case UnsuitableDatabase():
            return trouble_with(failure.server)
        case asyncpg.DiskFullError():
            return problem("the disk of the database is full", "Free some space and try again.")
    return None


def _is_refused(failure: BaseException) -> bool:
    """Return whether nothing listens at any address of the host, or at the socket."""
    gone = (errno.ECONNREFUSED, errno.ENOENT)
    return getattr(failure, "errno", None) in gone or "Errno 111" in str(failure)
