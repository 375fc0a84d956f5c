"""Compare the API through PgBouncer with the API connected directly: `python -m benchmarks.pooler`.

PgBouncer pools transactions. It has one connection to Postgres for six of the API's, as many as the API has when it is
connected directly. Both ways lead through Unix sockets, and PgBouncer runs where Postgres does, beside the load
generator: on two cores, its CPU is missing there."""

import asyncio
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import asyncpg
import typer
from sqlalchemy import make_url

from app.db.server_settings import role_settings
from app.settings import Settings
from benchmarks import processes
from benchmarks.__main__ import DATABASE, chosen, database_server
from benchmarks.contestants import APP
from benchmarks.database import opened
from benchmarks.figures import ratio
from benchmarks.race import Course, Outcome, race
from benchmarks.scenarios import SCENARIOS, Scenario
from benchmarks.sql import dsn_of
from tools.bulk import Size
from tools.pgbouncer import PgBouncer, pooled, tracking

SERVERS, CLIENTS = 5, 30
SIZE = Size(stores=200, products=200_000, orders=100_000)


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Number of turns of each.")] = 7,
    seconds: Annotated[float, typer.Option(min=0.1, max=60, help="Duration of a turn.")] = 2.0,
    only: Annotated[str, typer.Option(help="Scenarios, such as Q1,Q4. Default: all.")] = "",
) -> None:
    """Print the throughput through PgBouncer relative to a direct connection, turn by turn."""
    pgbouncer, scenarios = tracking(), chosen(SCENARIOS, only)
    if pgbouncer is None:
        raise typer.BadParameter("PgBouncer 1.21 or newer is not installed: see scripts/unpack_pgbouncer.sh")
    with database_server() as url, between(url, pgbouncer) as through:
        outcome = asyncio.run(run(url, through, scenarios, rounds, seconds))
    for scenario in scenarios:
        direct, pooler = (series for series in outcome.series if series.scenario == scenario.name)
        typer.echo(
            f"{scenario.name}: {pooler.per_second:.0f} of {direct.per_second:.0f} req/s, {ratio(pooler, direct):.2f}; "
            f"milliseconds of CPU per request: API {_cpu(pooler.server_ms, direct.server_ms)}, "
            f"Postgres {_cpu(pooler.postgres_ms, direct.postgres_ms)}"
        )


def _cpu(pooler: float | None, direct: float | None) -> str:
    return f"{pooler:.2f} instead of {direct:.2f}" if pooler and direct else "unknown"


@contextmanager
def between(url: str, pgbouncer: PgBouncer) -> Iterator[str]:
    """Run a PgBouncer; yield the URL through it."""
    options: dict[str, Any] = {"pool_mode": "transaction", "default_pool_size": SERVERS}
    cores = processes.split_cores()
    with TemporaryDirectory() as sockets, ExitStack() as stack:
        Path(sockets).chmod(0o777)  # root's PgBouncer runs as another account
        with processes.pinned(os.getpid(), cores[1]) if cores else nullcontext():  # which it inherits
            through = make_url(stack.enter_context(pooled(url, pgbouncer, unix_socket_dir=sockets, **options)))
        socket = through.set(host=None, port=None, query={"host": sockets, "port": str(through.port)})
        yield socket.render_as_string(hide_password=False)


async def run(url: str, through: str, scenarios: Sequence[Scenario], rounds: int, seconds: float) -> Outcome:
    """Let both take turns on the same database."""
    async with opened(url, DATABASE, SIZE) as database:
        needed = role_settings(Settings()).items()
        await _execute(
            database.url, *(f"ALTER DATABASE \"{DATABASE}\" SET {name} = '{value}'" for name, value in needed)
        )
        direct = replace(APP, name="direct", environment={**APP.environment, "DATABASE_POOL_SIZE": str(CLIENTS)})
        place = make_url(through).set(database=DATABASE).render_as_string(hide_password=False)
        urls = {"DATABASE_URL": place, "DATABASE_DIRECT_URL": database.url}
        pooler = replace(direct, name="pooler", environment={**direct.environment, **urls})
        course = Course([direct, pooler], scenarios, [CLIENTS], rounds, seconds, count_statements=False)
        try:
            return await race(course, database, lambda message: typer.echo(message, err=True))
        finally:
            await _execute(database.url, f'ALTER DATABASE "{DATABASE}" RESET ALL')


async def _execute(url: str, *commands: str) -> None:
    connection = await asyncpg.connect(dsn_of(url))
    for command in commands:
        await connection.execute(command)
    await connection.close()


if __name__ == "__main__":
    typer.run(main)
