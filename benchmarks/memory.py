"""Check that a server's memory use stays constant, whatever it receives: `python -m benchmarks.memory`."""

import asyncio
from collections.abc import Iterator
from typing import Annotated

import typer

from benchmarks.__main__ import DATABASE, database_server
from benchmarks.contestants import WITH_INTROSPECTION, Request
from benchmarks.database import opened
from benchmarks.load import Connection, ask, connect
from benchmarks.processes import resident_megabytes
from benchmarks.scenarios import SUPERUSER
from benchmarks.servers import served
from tools.bulk import Size

SIZE = Size(stores=200, products=200_000, orders=100_000)
CONNECTIONS = 12
BLOCK = 2_000
KEPT = 20  # different queries that are sent again and again
QUERIES = (  # the last one runs on the resolver path, the others are compiled
    "{{ a{n}: products(first: {size}) {{ nodes {{ id b{n}: name store {{ name }} }} pageInfo {{ endCursor }} }} }}",
    "query Q{n} {{ orders(first: 5) {{ nodes {{ id c{n}: placedAt items {{ quantity product {{ name }} }} }} }} }}",
    '{{ d{n}: stores(first: 5, filter: {{ search: "goods" }}) {{ edges {{ cursor node {{ name }} }} }} }}',
    "{{ e{n}: users(first: 2) {{ nodes {{ fullName }} }} __schema {{ queryType {{ name }} }} }}",
)


def query(number: int) -> str:
    """Return a query that differs for each number."""
    return QUERIES[number % len(QUERIES)].format(n=number, size=number % 50 + 1)


async def measure(server_url: str, name: str, size: Size, different: int, same: int) -> None:
    """Send different queries, then the same ones, and print the server's memory use after each block."""
    async with opened(server_url, name, size) as database, served(WITH_INTROSPECTION, database.url) as server:
        token = (await database.world()).tokens[SUPERUSER]
        connections = [await connect(server.port) for _ in range(CONNECTIONS)]
        for what, total, numbers in (("different", different, range(different)), ("the same", same, range(same))):
            for start in range(0, total, BLOCK):
                block = numbers[start : start + BLOCK]
                sent = iter([number if what == "different" else number % KEPT for number in block])
                await asyncio.gather(*(_send(connection, sent, token) for connection in connections))
                typer.echo(f"{start + len(block):>7,} {what:<9} {resident_megabytes(server.pid) or 0:6.1f} MB")
        for connection in connections:
            connection.close()


async def _send(connection: Connection, numbers: Iterator[int], token: str) -> None:
    for number in numbers:
        await ask(connection, Request("/graphql", {"query": query(number)}).encoded(token))


def main(
    different: Annotated[int, typer.Option(min=1, help="Number of different queries.")] = 20_000,
    same: Annotated[int, typer.Option(min=0, help="Number of repeated queries that follow.")] = 20_000,
) -> None:
    """Print the server's memory use after each block of queries, on the database of the benchmarks."""
    with database_server() as url:
        asyncio.run(measure(url, DATABASE, SIZE, different, same))


if __name__ == "__main__":
    typer.run(main)
