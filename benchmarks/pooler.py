"""Compare the API through PgBouncer with the API connected directly: `python -m benchmarks.pooler`.

PgBouncer pools transactions. It has one connection to Postgres for six of the API's, as many as the API has when it is
connected directly."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

import asyncpg
import typer
from sqlalchemy import make_url

from app.db.server_settings import role_settings
from app.settings import Settings
from benchmarks.__main__ import DATABASE, chosen, database_server
from benchmarks.contestants import APP
from benchmarks.database import opened
from benchmarks.figures import ratio
from benchmarks.race import Course, Outcome, race
from benchmarks.scenarios import SCENARIOS, Scenario
from benchmarks.sql import dsn_of
from tools.bulk import Size
from tools.pgbouncer import pooled, tracking

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
    with (
        database_server() as url,
        pooled(url, pgbouncer, pool_mode="transaction", default_pool_size=SERVERS) as through,
    ):
        outcome = asyncio.run(run(url, through, scenarios, rounds, seconds))
    for scenario in scenarios:
        direct, pooler = (series for series in outcome.series if series.scenario == scenario.name)
        typer.echo(
            f"{scenario.name}: {pooler.per_second:.0f} of {direct.per_second:.0f} req/s, {ratio(pooler, direct):.2f}"
        )


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
