"""Measure queries on a replica, and count those that miss what their client wrote: `python -m benchmarks.replicas`.

The writers' transactions overlap, with savepoints, and some are held open between their write and their commit, as they
wait for a row that another transaction has locked. Meanwhile, the replica pauses its replay again and again."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

import asyncpg
import httpx2
import typer

from app.replicas.tokens import HEADER
from benchmarks import processes
from benchmarks.__main__ import DATABASE, chosen
from benchmarks.contestants import APP
from benchmarks.database import Database, opened
from benchmarks.figures import ratio
from benchmarks.race import Course, race
from benchmarks.scenarios import SCENARIOS, SUPERUSER, Scenario
from benchmarks.servers import served
from benchmarks.sql import dsn_of
from tools.bulk import Size
from tools.clusters import Cluster, Node, NoPrograms, cluster

SIZE = Size(stores=200, products=20_000, orders=10_000)
WRITERS, CLIENTS = 8, 6
_RENAME = """
mutation ($own: ID!, $shared: ID!, $name: String!) {
  own: updateProduct(input: {id: $own, name: $name}) { __typename }
  shared: updateProduct(input: {id: $shared, name: $name}) { __typename }
}
"""
_READ = "query ($own: ID!) { product(id: $own) { name } }"
_PAUSE_SECONDS, _HOLD_SECONDS = 0.1, 0.05  # at most


@dataclass
class Tally:
    """What the writers have read."""

    reads: int = 0
    stale: int = 0
    headers: dict[str, str] = field(default_factory=dict)


async def write_and_read(client: httpx2.AsyncClient, tally: Tally, own: str, shared: str, reads: int) -> None:
    """Rename one's own product, and one that others rename, too; then read the own one with the token."""
    number = 0
    while tally.reads < reads:
        number += 1
        name = f"{own[-6:]} {number}"
        variables = {"own": own, "shared": shared, "name": name}
        written = await client.post("/graphql", json={"query": _RENAME, "variables": variables}, headers=tally.headers)
        token = written.headers.get(HEADER)
        if token is None:  # it gave way to another one
            continue
        for _ in range(3):
            # As nobody: the queries of a user who has just written something else go to the primary.
            body = {"query": _READ, "variables": {"own": own}}
            read = await client.post("/graphql", json=body, headers={HEADER: token})
            tally.reads += 1
            tally.stale += read.json()["data"]["product"]["name"] != name


@asynccontextmanager
async def _running(*loops: Any) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(loop) for loop in loops]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def _pause_replay(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        while True:
            await connection.execute("SELECT pg_wal_replay_pause()")
            await asyncio.sleep(random.uniform(0, _PAUSE_SECONDS))
            await connection.execute("SELECT pg_wal_replay_resume()")
            await asyncio.sleep(random.uniform(0, _PAUSE_SECONDS))
    finally:
        await connection.execute("SELECT pg_wal_replay_resume()")
        await connection.close()


async def _hold(url: str, product: str) -> None:
    """Lock a product again and again, so that transactions that have written wait for it."""
    connection = await asyncpg.connect(url)
    try:
        while True:
            async with connection.transaction():
                await connection.execute("SELECT FROM products WHERE id = $1 FOR UPDATE", product)
                await asyncio.sleep(random.uniform(0, _HOLD_SECONDS))
            await asyncio.sleep(random.uniform(0, _HOLD_SECONDS))
    finally:
        await connection.close()


async def count_stale(servers: Cluster, database: Database, reads: int) -> tuple[Tally, Counter[str]]:
    """Return what the writers have read, and why the primary answered some of it."""
    world, standby = await database.world(), _on(servers.standby.url)
    *own, shared = list(world.product_names)[: WRITERS + 1]
    tally = Tally(headers={"Authorization": f"Bearer {world.tokens[SUPERUSER]}"})
    contestant = replace(APP, environment={**APP.environment, **_replicas(standby), "METRICS_TOKEN": "m" * 16})
    async with served(contestant, database.url) as server:
        url = f"http://127.0.0.1:{server.port}"
        async with (
            httpx2.AsyncClient(base_url=url, timeout=30) as client,
            _running(_pause_replay(dsn_of(standby)), _hold(dsn_of(database.url), shared)),
        ):
            await asyncio.sleep(2)  # until the replica is used
            await asyncio.gather(
                *(write_and_read(client, tally, f"Product_{key}", f"Product_{shared}", reads) for key in own)
            )
            metrics = await client.get("/metrics", headers={"Authorization": f"Bearer {'m' * 16}"})
    lines = [line.rsplit(" ", 1) for line in metrics.text.splitlines() if line.startswith("orders_api_re")]
    return tally, Counter({name: int(float(number)) for name, number in lines if "_total{" in name})


@contextmanager
def _beside_the_primary(node: Node) -> Iterator[None]:
    """Keep a server off the core of the contestants, as the race does with the primary."""
    cores = processes.split_cores()
    if cores is None or node.process is None:
        yield
        return
    with processes.pinned(node.process.pid, cores[1]):
        yield


def _on(url: str) -> str:
    """Return the URL of the benchmark's database on this server."""
    return url.rpartition("/")[0] + f"/{DATABASE}"


def _replicas(url: str) -> dict[str, str]:
    return {"DATABASE_REPLICA_URLS": url}


async def run(servers: Cluster, scenarios: Sequence[Scenario], rounds: int, seconds: float, reads: int) -> None:
    """Print what is measured."""
    async with opened(servers.primary.url, DATABASE, SIZE) as database:
        direct = replace(APP, name="direct")
        on_replica = replace(
            direct, name="replica", environment={**APP.environment, **_replicas(_on(servers.standby.url))}
        )
        course = Course([direct, on_replica], scenarios, [CLIENTS], rounds, seconds, count_statements=False)
        with _beside_the_primary(servers.standby):
            outcome = await race(course, database, lambda message: typer.echo(message, err=True))
        for scenario in scenarios:
            alone, beside = (series for series in outcome.series if series.scenario == scenario.name)
            rates = f"{beside.per_second:.0f} of {alone.per_second:.0f} req/s, {ratio(beside, alone):.2f}"
            typer.echo(
                f"{scenario.name}: {rates}; CPU of the API {beside.server_ms:.2f} and {alone.server_ms:.2f} ms, "
                f"of the primary {beside.postgres_ms:.3f} and {alone.postgres_ms:.3f} ms"
            )
        tally, figures = await count_stale(servers, database, reads)
    typer.echo(f"{tally.stale} of {tally.reads} reads were stale")
    for name, number in figures.items():
        typer.echo(f"{name} {number}")


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Number of turns of each.")] = 5,
    seconds: Annotated[float, typer.Option(min=0.1, max=60, help="Duration of a turn.")] = 2.0,
    only: Annotated[str, typer.Option(help="Scenarios, such as Q1,Q3. Default: all queries.")] = "Q1,Q2,Q3,Q4",
    reads: Annotated[int, typer.Option(min=10, max=1_000_000, help="Number of reads after writes.")] = 10_000,
) -> None:
    """Compare queries on a replica with those on the primary, and count stale reads."""
    try:
        with cluster(shared_buffers="256MB", wal_keep_size="2GB") as servers:
            asyncio.run(run(servers, chosen(SCENARIOS, only), rounds, seconds, reads))
    except NoPrograms as missing:
        raise typer.BadParameter(str(missing)) from None


if __name__ == "__main__":
    typer.run(main)
