"""The database a command works on: find one that answers, migrate it, run work on it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import asyncpg
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import AsyncEngine

from app.cli.output import fail, say
from app.db.engine import connect, engine_to
from app.db.startup import wait_for_database
from app.settings import EMBEDDED_POSTGRES, Settings

T = TypeVar("T")
Announce = Callable[[str], None]
_CONNECT_SECONDS = 10.0


@contextmanager
def requires_tools(what: str, advice: str = "") -> Iterator[None]:
    """Wrap an import of `tools`; end the command in the production image, which leaves them out."""
    try:
        yield
    except ModuleNotFoundError as missing:
        if missing.name != "tools":
            raise
        fail(f"{what} is not part of this image{advice}.")


@contextmanager
def database(settings: Settings, announce: Announce = say) -> Iterator[str]:
    """Yield the URL of a database that answers, for what needs a session: the configured one, or an embedded one."""
    if settings.direct_url is None:
        with requires_tools("The embedded Postgres", "; set DATABASE_URL"):
            from tools import postgres
        try:
            with postgres.embedded_postgres(EMBEDDED_POSTGRES) as url:
                yield url
        except postgres.PostgresUnavailable as failure:
            fail(str(failure))
    else:
        wait(settings.direct_url, settings, announce)
        yield settings.direct_url


def wait(url: str, settings: Settings, announce: Announce = say) -> None:
    """Wait until the database answers."""
    try:
        asyncio.run(wait_for_database(url, settings.database_start_wait_seconds, announce))
    except Exception as failure:
        from app.cli.troubles import trouble_of

        trouble = trouble_of(failure, url, name=settings.variable_of(url))
        if trouble is None:
            raise
        fail(str(trouble))


def migrate(url: str, announce: Announce = say) -> None:
    """Run the migrations that the database is missing."""
    from app.db import migrations  # Alembic takes 0.1 s to load, a tenth of the time to start serving

    try:
        migrations.migrate(url, announce)
    except migrations.TablesInUse:
        fail("A table was in use for too long, so not all migrations ran. Run this command again at a quieter time.")


def prune(url: str, settings: Settings) -> None:
    """Delete what is old, and say how much. The command fails where this role may not add and drop partitions."""
    try:
        owners = asyncio.run(_prune(url, settings))
    except asyncpg.UndefinedTableError:
        fail("The database is missing migrations: python -m app migrate")
    except asyncpg.LockNotAvailableError:
        fail("A table was in use for too long, so not everything was done. Run this command again at a quieter time.")
    if owners:
        tables, roles = ", ".join(owners), ", ".join(sorted({*owners.values()}))
        fail(f"Only {roles} may add and drop partitions of {tables}. Run this command with the URL of that role.")


async def _prune(url: str, settings: Settings) -> dict[str, str]:
    """Prune, and return the owners of the tables of which this role may not change partitions."""
    from app.pruning import pruner

    driver = await connect(make_url(url), "pruning", _CONNECT_SECONDS)
    try:
        owners = {}
        async for result in pruner.prune(driver, settings, waits=True):
            say(str(result))
            if result.owner:
                owners[result.kind.table] = result.owner
        return owners
    finally:
        driver.terminate()


def run(url: str, work: Callable[[AsyncEngine], Awaitable[T]]) -> T:
    """Run an async function with an engine of its own."""

    async def with_engine() -> T:
        engine = engine_to(url)
        try:
            return await work(engine)
        finally:
            await engine.dispose()

    return asyncio.run(with_engine())
