"""Looks at all that the API needs, changes nothing, and says how to mend what is wrong: `python -m app doctor`."""

import errno
import os
import platform
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from enum import Enum
from importlib.metadata import PackageNotFoundError, version
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import URLError
from urllib.request import urlopen

import asyncpg
from limits import parse as parse_rate
from packaging.requirements import Requirement
from sqlalchemy import make_url

from app import migrations
from app.cli.troubles import NEWER_DATABASE, USE_THAT_VERSION, place_of, trouble_of, trouble_with
from app.database import OLDEST_POSTGRES, Server, driver_arguments
from app.graphql.graphiql.manifest import assets
from app.models import Base
from app.settings import EMBEDDED_POSTGRES, ROOT, Environment, InvalidSettings, Settings, Trust, load_settings

LOCK = ROOT / "requirements.lock"
OLDEST_PYTHON = (3, 11)

_PATIENCE_SECONDS = 5.0
_FEW_CHARACTERS = 12
_VERSION_TABLE = "alembic_version"
_SKEW = timedelta(seconds=5)
_BESIDE_THE_POOL = 2
"""Connections of a process that are not of its pool: one hears of events, one tells whether it is ready."""
_FACTS = """
SELECT current_setting('server_version') AS version,
    current_setting('server_version_num')::int / 10000 AS major,
    current_setting('server_encoding') AS encoding,
    current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int AS connections,
    current_user AS name,
    current_schema() AS schema,
    has_schema_privilege(current_schema(), 'CREATE') AS may_create,
    pg_is_in_recovery() AS is_standby,
    clock_timestamp() AS now,
    to_regclass('alembic_version') IS NOT NULL AS is_migrated,
    ARRAY(
        SELECT relname::text FROM pg_class
        WHERE relnamespace = current_schema()::regnamespace AND relname = ANY ($1::text[]) AND NOT (
            has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'INSERT')
            AND has_table_privilege(oid, 'UPDATE') AND has_table_privilege(oid, 'DELETE')
        )
        ORDER BY relname
    ) AS forbidden,
    ARRAY(
        SELECT relname::text FROM pg_class
        WHERE relnamespace = current_schema()::regnamespace AND relname = ANY ($1::text[]) ORDER BY relname
    ) AS tables
"""


class Mark(Enum):
    """How something is, with how a terminal that has no Unicode shows it."""

    FINE = "✓", "ok"
    MIND = "!", "!"
    MEND = "✗", "x"
    SKIPPED = "–", "-"


class Finding(NamedTuple):
    """What was found, and what is to be done about it."""

    mark: Mark
    what: str
    remedy: str = ""


class Facts(NamedTuple):
    """What the database tells of itself."""

    version: str
    major: int
    encoding: str
    connections: int
    """How many it has for others than superusers."""
    name: str
    """Who we are there."""
    schema: str | None
    may_create: bool | None
    is_standby: bool
    now: datetime
    asked: datetime
    """When it was asked, by the clock of this machine."""
    is_migrated: bool
    tables: list[str]
    """Those of this API's tables that are there, or whose names others have taken."""
    forbidden: list[str]
    """The tables that may not be read and written."""
    revision: str | None = None


def fine(what: str) -> Finding:
    """Return that something is as it should be."""
    return Finding(Mark.FINE, what)


def mind(what: str, remedy: str) -> Finding:
    """Return that something could be better, without which the API works."""
    return Finding(Mark.MIND, what, remedy)


def mend(what: str, remedy: str) -> Finding:
    """Return that something is wrong."""
    return Finding(Mark.MEND, what, remedy)


def skipped(what: str) -> Finding:
    """Return that something could not be looked at, or need not be."""
    return Finding(Mark.SKIPPED, what)


async def examine() -> AsyncIterator[Finding]:
    """Yield what there is to say, in the order in which it is to be mended."""
    yield python(platform.python_version_tuple())
    yield packages(LOCK)
    try:
        settings = load_settings()
    except InvalidSettings as invalid:
        for line in str(invalid).splitlines():
            yield mend(line, "Settings come from the environment, .env and config/<APP_ENV>.env.")
        yield skipped("all that depends on the settings: ask again when they are mended")
        return
    yield fine(f"settings: {settings.app_env}")
    for check in _OF_SETTINGS:
        for finding in check(settings):
            yield finding
    async for finding in database(settings):
        yield finding
    yield await redis(settings)


def python(running: tuple[str, ...]) -> Finding:
    """Look at the interpreter."""
    name = f"Python {'.'.join(running)}"
    if tuple(int(part) for part in running[:2]) < OLDEST_PYTHON:
        return mend(f"{name} is too old", "PYTHON=python3.13 make run, with Python 3.11 or newer.")
    return fine(name)


def packages(lock: Path) -> Finding:
    """Compare what is installed with what is pinned."""
    if not lock.exists():
        return skipped(f"packages: there is no {lock.name} to compare them with")
    pinned = [*_pinned(lock)]
    wrong = [told for requirement in pinned if (told := _difference(requirement))]
    if wrong:
        return mend(f"packages are not as in {lock.name}: {', '.join(wrong)}", "make install")
    return fine(f"packages: {len(pinned)} as in {lock.name}")


def _pinned(lock: Path) -> Iterator[Requirement]:
    """Yield what is to be installed on this machine."""
    for line in lock.read_text().splitlines():
        if line and not line.startswith((" ", "#")):
            requirement = Requirement(line.removesuffix("\\").strip())
            if requirement.marker is None or requirement.marker.evaluate():
                yield requirement


def _difference(requirement: Requirement) -> str:
    """Return how what is installed differs from what is pinned, "" where it does not."""
    try:
        installed = version(requirement.name)
    except PackageNotFoundError:
        return f"{requirement.name} is missing"
    return "" if requirement.specifier.contains(installed, prereleases=True) else f"{requirement.name} is {installed}"


def production(settings: Settings) -> Iterator[Finding]:
    """Look for settings that are good for development only."""
    if settings.app_env is not Environment.PRODUCTION:
        return
    if len(set(settings.secret_key.get_secret_value())) < _FEW_CHARACTERS:
        yield mend("SECRET_KEY is easy to guess: whoever does is whoever they like", "openssl rand -base64 48")
    counts_alone = settings.workers > 1 and not settings.rate_limit_storage
    doubts = (
        (settings.graphiql, "GRAPHIQL is open to everyone", "GRAPHIQL=false"),
        (settings.introspection, "INTROSPECTION tells everyone the schema", "INTROSPECTION=false"),
        (settings.cors_origins == "*", "CORS_ORIGINS lets every page call the API", "Name the pages' origins."),
        (settings.websocket_origins == "*", "WEBSOCKET_ORIGINS lets every page connect", "Name the pages' origins."),
        (settings.trusted_proxies == "*", "TRUSTED_PROXIES believes whoever connects", "Name the proxies' addresses."),
        (not settings.attempt_limit, "passwords can be tried without a limit", "ATTEMPT_LIMIT=60/minute"),
        (
            counts_alone and bool(settings.rate_limit or settings.attempt_limit),
            "each worker counts its limits by itself",
            "RATE_LIMIT_STORAGE=redis://…, or lower the limits.",
        ),
        (
            bool(settings.rate_limit) and parse_rate(settings.rate_limit).amount < settings.cost_limit,
            "RATE_LIMIT is below COST_LIMIT: what costs more is refused for ever",
            f"RATE_LIMIT={settings.cost_limit}/minute or more, or lower COST_LIMIT.",
        ),
        (settings.metrics_token is None, "nobody can read /metrics", "METRICS_TOKEN=…, 16 characters or more"),
        (settings.log_level == "debug", "LOG_LEVEL=debug tells too much to find anything", "LOG_LEVEL=info"),
    )
    yield from (mind(what, remedy) for is_so, what, remedy in doubts if is_so)


def trusted_documents(settings: Settings) -> Iterator[Finding]:
    """Look at the manifest, which the settings have read."""
    if settings.trusted_documents_file is not None:
        told = "" if settings.trusted_documents is not Trust.OFF else ", which TRUSTED_DOCUMENTS=off leaves unused"
        yield fine(f"trusted documents: {settings.trusted_documents_file}{told}")


def graphiql(settings: Settings) -> Iterator[Finding]:
    """Look at GraphiQL's files."""
    if not settings.graphiql:
        return
    missing = [asset for asset in assets() if not asset.location.is_file()]
    if missing:
        yield mind("GraphiQL is not installed", "make graphiql (needs npm). The API works without it.")
    elif any(not asset.holds(asset.location.read_bytes()) for asset in assets()):
        yield mend("GraphiQL's files are not those that are pinned", "rm -r app/graphql/graphiql/assets; make graphiql")
    else:
        yield fine("GraphiQL is installed")


def port(settings: Settings) -> Iterator[Finding]:
    """Look whether the port can be listened on."""
    place = f"{settings.host}:{settings.port}"
    with closing(socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as failure:
            yield _taken(settings, place, failure)
        else:
            yield fine(f"port: {place} is free")


def _taken(settings: Settings, place: str, failure: OSError) -> Finding:
    if failure.errno == errno.EACCES:
        return mend(f"PORT: {place} is for root ({failure.strerror})", "Choose one from 1024 on: PORT=8000.")
    if failure.errno != errno.EADDRINUSE:
        return mend(f"HOST: cannot listen on {place} ({failure.strerror})", "HOST=127.0.0.1, or 0.0.0.0 for others.")
    if _is_ours(settings):
        return fine(f"port: this API serves on {place} already")
    return mend(f"PORT: another program listens on {place}", f"End it, or choose another: PORT={settings.port + 1}.")


def _is_ours(settings: Settings) -> bool:
    """Tell whether it is this API that listens."""
    try:
        address = ip_address(settings.host)
        host = ("[::1]" if address.version == 6 else "127.0.0.1") if address.is_unspecified else settings.host
        with urlopen(f"http://{host}:{settings.port}/livez", timeout=_PATIENCE_SECONDS) as answer:
            return bool(answer.read(100) == b"alive")
    except (URLError, OSError, ValueError):
        return False


async def database(settings: Settings) -> AsyncIterator[Finding]:
    """Look at the database, if one runs."""
    url = settings.database_url
    if url is None:
        from app.dev import postgres  # for development; an image for production lacks it

        url = postgres.running_url(EMBEDDED_POSTGRES)
        if url is None:
            yield _embedded(postgres.version_to_start(), postgres.home_of(EMBEDDED_POSTGRES))
            yield skipped("the database itself: it starts with the server, as an embedded one")
            return
    try:
        facts = await _facts(url)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as failure:
        trouble = trouble_of(failure, url)
        yield mend(f"database: {trouble.what}", trouble.remedy) if trouble else mend(f"database: {failure}", "")
        return
    yield fine(f"database: Postgres {facts.version} answers at {place_of(make_url(url))}")
    for check in _OF_DATABASE:
        yield check(facts, settings)


def _embedded(major: int, home: Path) -> Finding:
    """Look whether an embedded Postgres could be started."""
    if not major:
        return mend(
            "database: there is no Postgres to start",
            "make install brings one; or let DATABASE_URL name one that runs.",
        )
    place = next(path for path in (home, *home.parents) if path.exists())
    if not (place.is_dir() and os.access(place, os.W_OK | os.X_OK)):
        return mend(f"database: {place} cannot be written by this user", "Change its owner, or set DATABASE_URL.")
    return fine(f"database: an embedded Postgres {major} can be started in {home}")


async def _facts(url: str) -> Facts:
    """Ask the database of itself, in a transaction that can change nothing."""
    connection: Any = await asyncpg.connect(**driver_arguments(make_url(url), "doctor"), timeout=_PATIENCE_SECONDS)
    try:
        async with connection.transaction(readonly=True):
            asked = datetime.now(UTC)
            row = await connection.fetchrow(_FACTS, [*Base.metadata.tables, _VERSION_TABLE], timeout=_PATIENCE_SECONDS)
            facts = Facts(**row, asked=asked)
            if facts.is_migrated and _VERSION_TABLE not in facts.forbidden:
                revision = await connection.fetchval("SELECT version_num FROM alembic_version")
                facts = facts._replace(revision=revision)
        return facts
    finally:
        connection.terminate()


def postgres_version(facts: Facts, _: Settings) -> Finding:
    """Look whether Postgres is new enough, and has all letters."""
    if trouble := trouble_with(Server(facts.version, facts.major, facts.encoding)):
        return mend(*trouble)
    return fine(f"Postgres is {OLDEST_POSTGRES} or newer, in UTF8")


def privileges(facts: Facts, _: Settings) -> Finding:
    """Look whether we may do there what we must."""
    if facts.is_standby:
        return mend("the database is a standby, which can only be read", "Let DATABASE_URL name the primary.")
    if facts.schema is None:
        return mend(f"{facts.name} has no schema", f'GRANT CREATE, USAGE ON SCHEMA public TO "{facts.name}"')
    if facts.forbidden:
        return mend(
            f"{facts.name} may not read and write {', '.join(facts.forbidden)}",
            f'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "{facts.schema}" TO "{facts.name}"',
        )
    if not facts.may_create:
        remedy = f'Migrate as another user, or: GRANT CREATE ON SCHEMA "{facts.schema}" TO "{facts.name}"'
        make = mind if facts.is_migrated else mend
        return make(f"{facts.name} may not make tables, which migrations do", remedy)
    return fine(f"{facts.name} may read, write and migrate")


def migrated(facts: Facts, _: Settings) -> Finding:
    """Look whether the database has the schema that this version expects."""
    if _VERSION_TABLE in facts.forbidden:
        return skipped("migrations cannot be looked at without that right")
    if facts.revision is None and facts.tables not in ([], [_VERSION_TABLE]):
        return mend(
            f"the database has tables that no migration of this API made: {', '.join(facts.tables)}",
            "Let DATABASE_URL name an empty one; createdb makes it.",
        )
    if migrations.is_behind(facts.revision):
        return mend("the database lacks migrations", "python -m app migrate (make run does it by itself)")
    if not migrations.is_known(facts.revision):
        return mind(NEWER_DATABASE, f"It works during an upgrade. Else: {USE_THAT_VERSION}")
    return fine("migrations are up to date")


def connections(facts: Facts, settings: Settings) -> Finding:
    """Look whether there are as many connections as there may be wanted."""
    wanted = settings.workers * (settings.database_pool_size + _BESIDE_THE_POOL)
    told = f"WORKERS * (DATABASE_POOL_SIZE + {_BESIDE_THE_POOL}) is {wanted}, of {facts.connections} connections"
    if wanted > facts.connections:
        return mend(told, "Lower WORKERS or DATABASE_POOL_SIZE, or raise max_connections of Postgres.")
    return fine(f"connections: {told}")


def clocks(facts: Facts, _: Settings) -> Finding:
    """Look whether the database's clock and this machine's agree: logins end by both."""
    skew = abs(facts.now - facts.asked)
    if skew > _SKEW:
        return mend(
            f"the clocks of this machine and the database are {skew.total_seconds():.0f} s apart",
            "Let both be set by NTP: logins end too early or too late.",
        )
    return fine("clocks agree")


async def redis(settings: Settings) -> Finding:
    """Look at where limits are counted for all processes."""
    url = settings.rate_limit_storage
    if not url:
        return skipped("Redis: RATE_LIMIT_STORAGE is not set, so each process counts by itself")
    from redis.asyncio import Redis
    from redis.exceptions import RedisError

    patience: Any = {"socket_connect_timeout": _PATIENCE_SECONDS, "socket_timeout": _PATIENCE_SECONDS}
    client = Redis.from_url(url.replace("redis+unix", "unix"), **patience)
    try:
        await client.ping()
    except (RedisError, OSError) as failure:
        return mend(f"Redis does not answer: {failure}", "Start it, or mend RATE_LIMIT_STORAGE.")
    finally:
        await client.aclose()
    return fine("Redis answers")


_OF_SETTINGS: tuple[Callable[[Settings], Iterator[Finding]], ...] = (production, trusted_documents, graphiql, port)
_OF_DATABASE: tuple[Callable[[Facts, Settings], Finding], ...] = (
    postgres_version,
    privileges,
    migrated,
    connections,
    clocks,
)
