"""Measure reads of 2,000,000 products and 1,000,000 orders, and pages beside 12 clients that search:
`python -m benchmarks.growth`. To fill its database takes several minutes, once."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from multiprocessing import get_context
from statistics import median
from time import perf_counter
from typing import Annotated

import typer

from benchmarks.__main__ import database_server
from benchmarks.contestants import APP, Request
from benchmarks.database import Database, opened
from benchmarks.figures import Measurement
from benchmarks.load import BadAnswer, Plan, ask, connect, run
from benchmarks.report import aligned
from benchmarks.scenarios import SUPERUSER, Case
from benchmarks.servers import Server, served
from tools.bulk import Size

DATABASE = "orders_benchmark_growth"
SIZE = Size(stores=2_000, products=2_000_000, orders=1_000_000)
SEARCHERS, READERS = 12, 4
PAGE = Request("/graphql", {"query": "{ products(first: 20) { nodes { id name price { amount } } } }"}).encoded(None)


@dataclass(frozen=True)
class Read:
    """A query whose time may grow with the shop."""

    name: str
    query: str
    user: str | None = None

    def request(self, token: str | None) -> bytes:
        """Return the request as HTTP/1.1."""
        return Request("/graphql", {"query": self.query}).encoded(token)


@dataclass
class Tally:
    """The searches that were answered, and those that were refused."""

    answered: int = 0
    refused: int = 0


def products(filter: str, order: str = "ID", selected: str = "nodes { id name }") -> str:
    """Return the query for a page of products that match a filter, in this order; a search without one by relevance."""
    ordered = "" if order in ("ID", "RELEVANCE") else f", orderBy: {{ field: {order} }}"
    return f"{{ products(first: 20, filter: {{ {filter} }}{ordered}) {{ {selected} }} }}"


TOTAL = "totalCount totalCountIsExact"
PAGE_INFO = "nodes { id } pageInfo { hasNextPage hasPreviousPage }"
ORDERS = ("NAME", "PRICE", "CREATED_AT")
SEARCHED = {"a letter": "a", "a word of most": "of", "a common word": "lamp", "a rare word": "lamp 77", "no word": "zz"}
RANGES = {
    "many prices": 'gte: "5", lte: "500"',
    "few prices": 'gte: "44", lte: "44.02"',
    "no price": 'gte: "1.001", lte: "1.002"',
}
NOTHING = 'currency: "XXX"'
SEARCHES = [
    *(
        Read(f"search of {what} by {order}", products(f'search: "{words}"', order))
        for what, words in SEARCHED.items()
        for order in ("RELEVANCE", *ORDERS)
    ),
    Read("search of 8 letters by RELEVANCE", products('search: "o t a f s b c l"')),
    Read("search of a letter and its total", products('search: "a"', selected=f"nodes {{ id }} {TOTAL}")),
    Read("search of a word of most, in no currency, by PRICE", products(f'search: "of", {NOTHING}', "PRICE")),
]
FILTERS = [
    *(
        Read(f"{what} by {order}", products(f"price: {{ {range} }}", order))
        for what, range in RANGES.items()
        for order in ORDERS
    ),
    *(Read(f"no currency by {order}", products(NOTHING, order)) for order in ("ID", *ORDERS)),
    Read("sold out by NAME", products("inStock: false", "NAME")),
    Read("stores of no city", '{ stores(filter: { city: "Nowhere" }) { nodes { id } } }'),
    Read("orders of a status", "{ orders(filter: { status: [CANCELLED] }) { nodes { id } } }", SUPERUSER),
]
TOTALS = [
    Read("total of products", f"{{ products(first: 0) {{ {TOTAL} }} }}"),
    Read("total of many prices", products("price: { gte: 5 }", selected=TOTAL)),
    Read("total of no currency", products(NOTHING, selected=TOTAL)),
    Read("total of orders", f"{{ orders(first: 0) {{ {TOTAL} }} }}", SUPERUSER),
]
READS = [*SEARCHES, *FILTERS, *TOTALS]


def pages() -> list[Read]:
    """Return the pages that every client reads."""
    queries = {name: str(APP.requests[name](Case()).body["query"]) for name in ("Q1", "Q2", "Q4")}
    by_name = {name: queries[name].replace("(first: ", "(orderBy: { field: NAME } first: ") for name in ("Q1", "Q4")}
    users = {"Q2": SUPERUSER}
    return [
        *(Read(name, query, users.get(name)) for name, query in queries.items()),
        *(Read(f"{name} by NAME", query) for name, query in by_name.items()),
    ]


async def time_of(server: Server, request: bytes, times: int) -> float | None:
    """Return how many milliseconds a request takes, the median after a first time; None if it is refused."""
    connection = await connect(server.port)
    taken = []
    try:
        for _ in range(times + 1):
            began = perf_counter()
            await ask(connection, request)
            taken.append(1_000 * (perf_counter() - began))
    except BadAnswer:
        return None
    finally:
        connection.close()
    return median(taken[1:])


async def _search(server: Server, requests: Sequence[bytes], tally: Tally) -> None:
    """Send requests one after the other, for as long as the task runs."""
    connection = await connect(server.port)
    try:
        for request in cycle(requests):
            try:
                await ask(connection, request)
            except BadAnswer:
                tally.refused += 1
            else:
                tally.answered += 1
    finally:
        connection.close()


@asynccontextmanager
async def searched(server: Server, tokens: Sequence[str]) -> AsyncIterator[Tally]:
    """Let each of these users search all the time, each beginning elsewhere, and yield what becomes of it."""
    tally, step = Tally(), len(SEARCHES) // len(tokens)
    requests = [[read.request(token) for read in SEARCHES] for token in tokens]
    starts = [[*islice(cycle(own), number * step, number * step + len(own))] for number, own in enumerate(requests)]
    searchers = [asyncio.create_task(_search(server, own, tally)) for own in starts]
    try:
        yield tally
    finally:
        for searcher in searchers:
            searcher.cancel()
        await asyncio.gather(*searchers, return_exceptions=True)


async def measured_reads(
    database: Database, server: Server, reads: Sequence[Read], times: int
) -> list[tuple[Read, float | None]]:
    """Return how long each read takes alone, the slowest first."""
    tokens = (await database.world()).tokens
    found = [(read, await time_of(server, read.request(tokens.get(read.user or "")), times)) for read in reads]
    return sorted(found, key=lambda each: each[1] or 0.0, reverse=True)


async def measured_pages(database: Database, server: Server, seconds: float) -> tuple[Measurement, Measurement, Tally]:
    """Return how pages are answered alone, how beside searches, and what became of those."""
    plan = Plan(server.port, [PAGE] * READERS, READERS, min(0.5, seconds / 4), seconds)
    loop, tokens = asyncio.get_running_loop(), await database.customers(SEARCHERS)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as load:
        alone = await loop.run_in_executor(load, run, plan)
        async with searched(server, tokens) as tally:
            beside = await loop.run_in_executor(load, run, plan)
    return alone, beside, tally


async def measure(server_url: str, name: str, size: Size, times: int, seconds: float) -> None:
    """Print both."""
    async with opened(server_url, name, size) as database, served(APP, database.url) as server:
        found = await measured_reads(database, server, [*pages(), *READS], times)
        typer.echo(aligned([(read.name, "refused" if ms is None else f"{ms:.1f} ms") for read, ms in found], texts=1))
        alone, beside, tally = await measured_pages(database, server, seconds)
    for what, pages_read in (("alone", alone), (f"beside {SEARCHERS} searchers", beside)):
        times_taken = f"p50 {pages_read.p50_ms:.1f} ms, p99 {pages_read.p99_ms:.1f} ms"
        typer.echo(f"pages {what}: {pages_read.per_second:.0f}/s, {times_taken}")
    typer.echo(f"searches: {tally.answered} answered, {tally.refused} refused")


def main(
    times: Annotated[int, typer.Option(min=1, help="How often each read is sent.")] = 5,
    seconds: Annotated[float, typer.Option(min=0.1, max=120, help="How long pages are read.")] = 20.0,
    stores: Annotated[int, typer.Option(min=10, help="Number of stores.")] = SIZE.stores,
    products: Annotated[int, typer.Option(min=100, help="Number of products.")] = SIZE.products,
    orders: Annotated[int, typer.Option(min=100, help="Number of orders.")] = SIZE.orders,
) -> None:
    """Print how long reads of a large shop take, and what searches leave to pages."""
    with database_server() as url:
        asyncio.run(measure(url, DATABASE, Size(stores, products, orders), times, seconds))


if __name__ == "__main__":
    typer.run(main)
