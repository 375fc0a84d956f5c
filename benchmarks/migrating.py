"""Measure requests while a migration builds an index and adds a column to a large table:
`python -m benchmarks.migrating`.

`make migration` writes the migration, in a copy of the project with other models. Three processes run it at once, and
the one that builds the index is killed. Meanwhile, clients read and write."""

import asyncio
import os
import shutil
import signal
import sys
import tempfile
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

import asyncpg
import typer

from app.db.migrations import newest_revision
from app.settings import ROOT
from benchmarks.__main__ import database_server
from benchmarks.contestants import APP, Request
from benchmarks.database import opened
from benchmarks.figures import percentile
from benchmarks.growth import DATABASE, PAGE, SIZE
from benchmarks.load import BadAnswer, Connection, ask, connect
from benchmarks.scenarios import SUPERUSER, World
from benchmarks.servers import served
from benchmarks.sql import dsn_of
from tools.bulk import Size

READERS, OWNERS = 4, 2
MIGRATORS = 3
COLUMN, INDEX = "rating", "ix_products_by_change"
MODELS = f"""

Product.{COLUMN} = mapped_column(sa.Integer, deferred=True)
sa.Index("{INDEX}", Product.updated_at, Product.id)
"""
_CHANGE = "mutation ($id: ID!, $price: Decimal!) { updateProduct(input: { id: $id, price: $price }) { __typename } }"
_BUILDING = "SELECT count(*) > 0 FROM pg_stat_progress_create_index WHERE datname = current_database()"
_TRYING = """
    SELECT pid FROM pg_stat_activity
    WHERE datname = current_database() AND query LIKE 'SELECT pg_try_advisory_lock(%'
"""
_COMPLETE = f"""
    SELECT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('{INDEX}') AND indisvalid)
    AND EXISTS (
        SELECT FROM information_schema.columns WHERE table_name = 'products' AND column_name = '{COLUMN}'
    )
"""
_POLL_SECONDS, _PATIENCE_SECONDS = 0.02, 600


class NotMigrated(Exception):
    """The migration failed, or it was over before anything could be killed."""


@dataclass
class Answers:
    """How long the requests of some clients took, in milliseconds, and what those that failed said."""

    latencies: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        ordered = sorted(self.latencies)
        p50, p99, longest = (percentile(ordered, share) for share in (0.5, 0.99, 1))
        failed = f"{len(self.failures)} failed {self.failures[:1] or ''}".rstrip()
        return f"{len(ordered)} answers, p50 {p50:.1f} ms, p99 {p99:.1f} ms, at most {longest:.1f} ms, {failed}"


async def _send(connection: Connection, requests: Iterator[bytes], answers: Answers) -> None:
    """Send requests one after the other, for as long as the task runs."""
    try:
        for request in requests:
            began = perf_counter()
            try:
                await ask(connection, request)
            except BadAnswer as failure:
                answers.failures.append(str(failure))
            answers.latencies.append(1_000 * (perf_counter() - began))
    finally:
        connection.close()


@asynccontextmanager
async def clients(port: int, world: World) -> AsyncIterator[dict[str, Answers]]:
    """Let clients read pages and change prices, and yield their answers, by what they do."""
    changes = [
        Request("/graphql", {"query": _CHANGE, "variables": {"id": f"Product_{key}", "price": str(price)}})
        for key, price in zip(world.product_names, cycle(range(1, 100)), strict=False)
    ]
    sent: dict[str, tuple[int, Sequence[bytes]]] = {
        "pages": (READERS, [PAGE]),
        "changes": (OWNERS, [change.encoded(world.tokens[SUPERUSER]) for change in changes]),
    }
    answers = {what: Answers() for what in sent}
    tasks = [
        asyncio.create_task(_send(await connect(port), cycle(requests), answers[what]))
        for what, (number, requests) in sent.items()
        for _ in range(number)
    ]
    try:
        yield answers
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextmanager
def next_version() -> Iterator[Path]:
    """Yield a copy of the project whose models have another column and another index."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in ("app", "alembic", "config"):
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "graphiql"))
        shutil.copy(ROOT / "alembic.ini", copy)
        with (copy / "app/db/models.py").open("a", encoding="utf-8") as models:
            models.write(MODELS)
        yield copy


async def _start(copy: Path, url: str, *command: str) -> Process:
    environment = {**os.environ, "DATABASE_URL": url, "DATABASE_DIRECT_URL": ""}
    arguments = (sys.executable, "-m", *command)
    return await asyncio.create_subprocess_exec(*arguments, cwd=copy, env=environment, stdout=PIPE, stderr=STDOUT)


async def _finish(process: Process) -> str:
    """Return what a process said; NotMigrated if it failed."""
    said = (await process.communicate())[0].decode()
    if process.returncode:
        raise NotMigrated(said)
    return said


async def _run(copy: Path, url: str, *command: str) -> str:
    return await _finish(await _start(copy, url, *command))


async def _until(onlooker: Any, condition: str, process: Process) -> None:
    """Wait until a query says so; NotMigrated if the process ends before."""
    while not await onlooker.fetchval(condition):
        if process.returncode is not None:
            raise NotMigrated((await process.communicate())[0].decode())
        await asyncio.sleep(_POLL_SECONDS)


async def _until_waiting(onlooker: Any, number: int) -> None:
    """Wait until so many migrators have tried to get their turn, which each does ten times a second."""
    seen: set[int] = set()
    while len(seen) < number:
        seen.update(row["pid"] for row in await onlooker.fetch(_TRYING))
        await asyncio.sleep(_POLL_SECONDS / 20)


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Any]:
    """Yield a connection of the driver."""
    connection = await asyncpg.connect(dsn_of(url))
    try:
        yield connection
    finally:
        await connection.close()


async def migrate(copy: Path, url: str) -> None:
    """Let several migrate, and kill the one that builds the index while the others wait for it."""
    async with connected(url) as onlooker, asyncio.timeout(_PATIENCE_SECONDS):
        async with connected(url) as holding, holding.transaction(isolation="repeatable_read"):
            await holding.fetchval("SELECT count(*) FROM stores")  # the index waits for this, however small the table
            first = await _start(copy, url, "app", "migrate")
            await _until(onlooker, _BUILDING, first)
            others = [await _start(copy, url, "app", "migrate") for _ in range(MIGRATORS - 1)]
            await _until_waiting(onlooker, MIGRATORS - 1)
            first.send_signal(signal.SIGKILL)
            await first.communicate()
        for other in others:
            await _finish(other)
        if not await onlooker.fetchval(_COMPLETE):
            raise NotMigrated("The column or the index is missing.")


async def measure(server_url: str, name: str, size: Size, seconds: float) -> tuple[dict[str, Answers], float]:
    """Return the answers of clients, alone for so long and then during a migration, and how long that took. In the end,
    it is undone."""
    async with opened(server_url, name, size) as database, served(APP, database.url) as server:
        world = await database.world()
        async with clients(server.port, world) as alone:
            await asyncio.sleep(seconds)
        with next_version() as copy:
            typer.echo(await _run(copy, database.url, "app", "migration", "rate products"), err=True)
            try:
                async with clients(server.port, world) as beside:
                    began = perf_counter()
                    await migrate(copy, database.url)
                    taken = perf_counter() - began
            finally:
                await _run(copy, database.url, "alembic", "downgrade", newest_revision())
    named = {f"{what} alone": answers for what, answers in alone.items()}
    return named | {f"{what} during the migration": answers for what, answers in beside.items()}, taken


def main(
    seconds: Annotated[float, typer.Option(min=0.1, max=120, help="How long clients are measured alone.")] = 10.0,
    stores: Annotated[int, typer.Option(min=10, help="Number of stores.")] = SIZE.stores,
    products: Annotated[int, typer.Option(min=1_000, help="Number of products.")] = SIZE.products,
    orders: Annotated[int, typer.Option(min=100, help="Number of orders.")] = SIZE.orders,
) -> None:
    """Print how clients are answered while three processes migrate, one of which is killed."""
    with database_server() as url:
        answers, taken = asyncio.run(measure(url, DATABASE, Size(stores, products, orders), seconds))
    typer.echo(f"The migration took {taken:.1f} s.")
    for what, answered in answers.items():
        typer.echo(f"{what}: {answered}")


if __name__ == "__main__":
    typer.run(main)
