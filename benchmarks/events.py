"""Measure how many orders are committed beside announcers and listeners: `python -m benchmarks.events`.

pgbench runs the statement of `placeOrder`, for a bounded time: without its events, with pg_notify in the transaction,
and with the log."""

import asyncio
import re
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Annotated, Any
from uuid import UUID

import asyncpg
import typer

from app.db.engine import open_database
from app.events import repository
from app.events.log import Events
from app.orders.placing import PLACE
from app.settings import Settings
from app.users.demo import CUSTOMER
from benchmarks.__main__ import database_server
from benchmarks.database import Database, opened
from benchmarks.processes import cpu_seconds
from benchmarks.report import aligned
from benchmarks.sql import dsn_of
from tools.bulk import Size

DATABASE = "orders_benchmark_events"
BAR = 0.9
"""What share of the commits without events are to remain with the log."""
_BASKETS = 1_000
_EMPTIED = "TRUNCATE orders, store_orders, order_items, audit_entries, events"
_PREPARED = f"""
    DROP TABLE IF EXISTS baskets;
    CREATE TABLE baskets AS
    SELECT number::int, (
        SELECT array_agg(id) FROM (
            SELECT id FROM products WHERE number > 0 AND stock IS NULL AND deleted_at IS NULL ORDER BY random() LIMIT 3
        ) AS chosen
    ) AS keys
    FROM generate_series(1, {_BASKETS}) AS number;
    ALTER TABLE baskets ADD PRIMARY KEY (number);
    ANALYZE baskets
"""  # our number
_KEY, _THREE = "gen_random_uuid()", "ARRAY[gen_random_uuid(), gen_random_uuid(), gen_random_uuid()]"
_KEYS, _BUYER = "(SELECT keys FROM baskets WHERE number = :basket)", ":buyer"
_GIVEN = {
    "line_id": _THREE,
    "line_part_id": _THREE,
    "keys": _KEYS,
    "line_quantity": "'{1,1,1}'",
    "viewer_id": _BUYER,
    "session_id": _BUYER,
    "order_id": _KEY,
    "order_number": "order_number()",
    "order_customer_id": _BUYER,
    "entry_id": _KEY,
    "entry_actor_id": _BUYER,
    "entry_operation": "'placeOrder'",
    "entry_entity_type": "'Order'",
    "entry_entity_id": _KEY,
    "entry_fields": "'{customerId,items}'",
    "entry_request_id": "repeat('r', 32)",
}
_LOGGED = re.compile(r", \nlogged AS.*(?=\n SELECT customer)", re.DOTALL)
_RESULT = "\n SELECT customer."


def _scripts() -> dict[str, str]:
    """Return the scripts for pgbench, which makes the values that the application otherwise sends."""

    def given(parameter: re.Match[str]) -> str:
        name = PLACE.names[int(parameter[1]) - 1]
        constant = PLACE.constants[name]
        return _GIVEN.get(name) or ("NULL" if constant is None else repr(constant))

    sql = re.sub(r"\$(\d+)", given, PLACE.sql)
    plain, count = _LOGGED.subn("", sql)
    assert count == 1, "the statement writes events"
    notified = plain.replace(_RESULT, f"\n SELECT pg_notify('orders_api', repeat('e', 220)), {_RESULT.split()[1]}", 1)
    found = {"no events": plain, "pg_notify in the transaction": notified, "the log": sql}
    return {name: f"\\set basket random(1, {_BASKETS})\n{' '.join(text.split())};\n" for name, text in found.items()}


@dataclass
class Turns:
    """Commits per second of each turn, and the CPU that Postgres used for a commit in milliseconds, if it is known."""

    rates: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


class Course:
    """The database, and who is connected to it beside pgbench."""

    def __init__(
        self, database: Database, buyer: UUID, clients: int, seconds: int, announcers: int, listeners: int
    ) -> None:
        self._database = database
        self._options = ("-c", str(clients), "-T", str(seconds), "-D", f"buyer={buyer}")
        self._announcers, self._listeners = announcers, listeners

    async def turn(self, script: str, turns: Turns, *, is_announced: bool) -> None:
        """Run a script, and note the figures. The rows of the turn are removed."""
        async with AsyncExitStack() as stack:
            writer = await self._connected(stack)
            stack.push_async_callback(writer.execute, _EMPTIED)
            for _ in range(self._listeners):
                await (await self._connected(stack)).add_listener(repository.CHANNEL, lambda *_: None)
            if is_announced:
                announced = [await self._announcer(stack) for _ in range(self._announcers)]
                committing = asyncio.create_task(_commit(announced))
                stack.callback(committing.cancel)
            postgres = await self._database.postmaster()
            before = cpu_seconds(postgres)
            commits, rate = await self._pgbench(script)
            turns.rates.append(rate)
            if before is not None and (after := cpu_seconds(postgres)) is not None:
                turns.cpu.append(1_000 * (after - before) / commits)

    async def _connected(self, stack: AsyncExitStack) -> Any:
        connection = await asyncpg.connect(dsn_of(self._database.url))
        stack.push_async_callback(connection.close)
        return connection

    async def _announcer(self, stack: AsyncExitStack) -> Events:
        """Return what announces the events of one process."""
        database = open_database(self._database.url, Settings())
        stack.push_async_callback(database.engine.dispose)
        events = Events(database)
        events.start()
        stack.push_async_callback(events.stop)
        await events.heard()
        return events

    async def _pgbench(self, script: str) -> tuple[int, float]:
        """Return how many transactions were committed, and how many in a second."""
        program = shutil.which("pgbench")
        if program is None:
            raise typer.BadParameter("pgbench is not installed")
        with tempfile.TemporaryDirectory() as directory:
            file = Path(directory) / "script.sql"
            file.write_text(script)
            process = await asyncio.create_subprocess_exec(
                *(program, "-n", "-M", "prepared", *self._options, "-f", file, dsn_of(self._database.url)),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            output = (await process.communicate())[0].decode()
        commits, rate = re.search(r"processed: (\d+)", output), re.search(r"tps = ([\d.]+)", output)
        if process.returncode or commits is None or rate is None:
            raise RuntimeError(output)
        await asyncio.sleep(0.1)  # until Postgres knows what its processes have used that have just ended
        return int(commits[1]), float(rate[1])


async def _commit(announcers: Sequence[Events]) -> None:
    """Let every process announce as if it committed all the time."""
    while True:
        for events in announcers:
            events.announce()
        await asyncio.sleep(0.005)


async def compare(
    server_url: str, rounds: int, clients: int, seconds: int, announcers: int, listeners: int
) -> list[tuple[str, ...]]:
    """Return the commits per second of each way, in turns."""
    figures = {name: Turns() for name in _scripts()}
    async with opened(server_url, DATABASE, Size(stores=10, products=4_000, orders=50)) as database:
        connection = await asyncpg.connect(dsn_of(database.url))
        await connection.execute(_PREPARED)
        await database.world()  # which logs the customer in
        buyer = await connection.fetchval("SELECT id FROM users WHERE email = $1", CUSTOMER.email)
        course = Course(database, buyer, clients, seconds, announcers, listeners)
        for _ in range(rounds):
            for name, script in _scripts().items():
                await course.turn(script, figures[name], is_announced=name == "the log")
        await connection.execute("DROP TABLE baskets")
        await connection.close()
    plain = figures["no events"].rates
    rows: list[tuple[str, ...]] = [("events", "commits/s", "share", "Postgres CPU ms")]
    for name, turns in figures.items():
        # Neighbors in time are compared, as the machine may have other work.
        share = median(rate / other for rate, other in zip(turns.rates, plain, strict=True))
        cpu = f"{median(turns.cpu):.3f}" if turns.cpu else "unknown"
        rows.append((name, f"{median(turns.rates):.0f}", f"{share:.2f}", cpu))
    return rows


def main(
    rounds: Annotated[int, typer.Option(min=1, max=20, help="Number of turns of each way.")] = 3,
    clients: Annotated[int, typer.Option(min=1, max=64, help="Number of clients that write.")] = 16,
    seconds: Annotated[int, typer.Option(min=1, max=60, help="Duration of a turn.")] = 5,
    announcers: Annotated[int, typer.Option(min=1, max=16, help="Number of announcers.")] = 4,
    listeners: Annotated[int, typer.Option(min=0, max=80, help="Number of listeners.")] = 20,
) -> None:
    """Compare commits per second without events, with pg_notify in the transaction, and with the log."""
    with database_server() as url:
        rows = asyncio.run(compare(url, rounds, clients, seconds, announcers, listeners))
    typer.echo("\n" + aligned(rows))
    share = float(rows[-1][2])
    typer.echo(f"\nThe bar is {BAR} of the commits without events: {'met' if share >= BAR else 'missed'}.")


if __name__ == "__main__":
    typer.run(main)
