"""Measure how many transactions commit beside announcers and listeners: `python -m benchmarks.events`.

Each writes the rows of an order of three stores; pgbench runs them, for a bounded time."""

import asyncio
import re
import shutil
import tempfile
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Annotated, Any

import asyncpg
import typer

from app.events import legacy, repository
from app.events.repository import Sequencer
from benchmarks.__main__ import database_server
from benchmarks.database import opened
from benchmarks.report import aligned
from benchmarks.sql import dsn_of
from tools.bulk import Size

DATABASE = "orders_benchmark_events"
BETWEEN_SECONDS = 0.02  # as a process does
# The rows of an order of three products of three stores.
_ORDER = """
    WITH placed AS (
        INSERT INTO orders (id, customer_id, customer_name)
        SELECT gen_random_uuid(), id, full_name FROM users LIMIT 1 RETURNING id
    ),
    part AS (
        INSERT INTO store_orders (id, order_id, store_id, total, currency)
        SELECT gen_random_uuid(), placed.id, store.id, 1, store.currency
        FROM placed CROSS JOIN (SELECT id, currency FROM stores LIMIT 3) AS store
        RETURNING id, order_id, store_id, currency
    ),
    item AS (
        INSERT INTO order_items (
            id, order_id, store_id, store_order_id, product_id, product_name, quantity, unit_price, currency
        )
        SELECT gen_random_uuid(), order_id, store_id, id,
            (SELECT id FROM products WHERE products.store_id = part.store_id LIMIT 1), 'Bread', 1, 1, currency
        FROM part
    )"""
_LOGGED = """,
    logged AS (
        INSERT INTO events (id, type, entity_id, store_id, payload)
        SELECT id, 'order.placed', id, null, '{}'::jsonb FROM placed
        UNION ALL
        SELECT id, 'store_order.placed', id, store_id, jsonb_build_object('orderId', order_id) FROM part
    )"""
_ENTRY = """
    INSERT INTO audit_entries (id, operation, entity_type, entity_id, fields, request_id)
    SELECT gen_random_uuid(), 'placeOrder', 'Order', id, '{customerId,items}', repeat('r', 32) FROM placed"""
_NOTIFIED = f" RETURNING (SELECT count(pg_notify('{legacy.CHANNEL}', repeat('e', 220))))"
SCRIPTS = {
    "no events": f"{_ORDER}{_ENTRY};",
    "pg_notify in the transaction": f"{_ORDER}{_ENTRY}{_NOTIFIED};",
    "the log": f"{_ORDER}{_LOGGED}{_ENTRY};",
}


async def measure(url: str, script: str, clients: int, seconds: int, announcers: int, listeners: int) -> float:
    """Return the number of commits per second. The rows of the turn are removed."""
    async with AsyncExitStack() as stack:

        async def connected() -> Any:
            connection = await asyncpg.connect(dsn_of(url))
            stack.push_async_callback(connection.close)
            return connection

        writer = await connected()
        stack.push_async_callback(writer.execute, "TRUNCATE orders, store_orders, order_items, audit_entries, events")
        for _ in range(listeners):
            connection = await connected()
            for channel in (legacy.CHANNEL, repository.CHANNEL):
                await connection.add_listener(channel, lambda *_: None)
        running = [asyncio.create_task(_announce(await connected())) for _ in range(announcers)]
        try:
            return await _pgbench(url, script, clients, seconds)
        finally:
            for task in running:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task


async def _announce(driver: Any) -> None:
    sequencer = await Sequencer.over(driver)
    while True:
        await sequencer.sequence()
        await asyncio.sleep(BETWEEN_SECONDS)


async def _pgbench(url: str, script: str, clients: int, seconds: int) -> float:
    program = shutil.which("pgbench")
    if program is None:
        raise typer.BadParameter("pgbench is not installed")
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "script.sql"
        file.write_text(" ".join(script.split()))
        options = ("-n", "-M", "prepared", "-c", str(clients), "-T", str(seconds), "-f", str(file))
        process = await asyncio.create_subprocess_exec(
            program, *options, dsn_of(url), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        output, _ = await process.communicate()
    found = re.search(r"tps = ([\d.]+)", output.decode())
    if found is None:
        raise RuntimeError(output.decode())
    return float(found[1])


async def compare(
    server_url: str, rounds: int, clients: int, seconds: int, announcers: int, listeners: int
) -> list[tuple[str, ...]]:
    """Return the commits per second of each way, in turns."""
    figures: dict[str, list[float]] = {name: [] for name in SCRIPTS}
    async with opened(server_url, DATABASE, Size(stores=10, products=400, orders=50)) as database:
        for _ in range(rounds):
            for name, script in SCRIPTS.items():
                number = announcers if name == "the log" else 0
                figures[name].append(await measure(database.url, script, clients, seconds, number, listeners))
    best = {name: sorted(found)[len(found) // 2] for name, found in figures.items()}
    first = next(iter(best.values()))
    rows = [(name, f"{found:.0f}", f"{found / first:.2f}") for name, found in best.items()]
    return [("events", "commits/s", "share"), *rows]


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


if __name__ == "__main__":
    typer.run(main)
