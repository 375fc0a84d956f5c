"""Measure how much work small requests can cause: `python -m benchmarks.abuse`.

Each request is the worst that the limits let through, or one that they refuse. The settings are those of production,
but the schema may be read."""

import asyncio
import json
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import Annotated, Any
from uuid import UUID

import asyncpg
import typer
from rich.console import Console
from rich.table import Table

from app.lengths import PARAGRAPHS
from benchmarks.__main__ import DATABASE, database_server
from benchmarks.contestants import WITH_INTROSPECTION, Request
from benchmarks.database import opened
from benchmarks.load import Connection, connect
from benchmarks.processes import cpu_seconds, resident_megabytes
from benchmarks.servers import Server, served
from benchmarks.sql import dsn_of
from tools.bulk import Size

SIZE = Size(stores=200, products=200_000, orders=100_000)
SOME = "SELECT id, description FROM products ORDER BY id LIMIT 100"
SET = "UPDATE products SET description = $2 WHERE id = $1"


@dataclass(frozen=True)
class Attack:
    """A request of someone who has read the documentation."""

    name: str
    query: Callable[[int], str] | str
    variables: Callable[[int], Mapping[str, Any]] = lambda _: {}
    """Each made with the number of the request."""

    def request(self, number: int) -> Request:
        """Return the request with this number."""
        query = self.query if isinstance(self.query, str) else self.query(number)
        return Request("/graphql", {"query": query, "variables": self.variables(number)})


def repeated(number: int, field: str) -> str:
    """Return a field under so many aliases; `#` in it is the number of each."""
    return " ".join(f"a{each}: {field}".replace("#", str(each)) for each in range(10, 10 + number))


def filtered(alias: str, filter: str, order: str) -> str:
    """Return a page of products that match a filter, in another order than that of their ids."""
    return f"{alias}: products(first: 1, filter: {filter}, orderBy: {{ field: {order} }}) {{ nodes {{ name }} }}"


def within(selected: str, *fields: str) -> str:
    """Return what is selected within these fields, the outermost first, and the braces of an operation."""
    opened, closed = "".join(f"{field} {{ " for field in ("", *fields)), " }" * (len(fields) + 1)
    return f"{opened.lstrip()}{selected}{closed}"


SEARCH = 'products(first: 1, filter: {search: "%s"})'
PAST = urlsafe_b64encode(f"RELEVANCE-desc:{UUID(int=0)}:5000000".encode()).decode().rstrip("=")
NOTHING = "{ price: { gte: 1, lte: 0 } }"
MOST = '{ search: "o", price: { gte: 0, lte: 999999 }, inStock: true }'
DESCRIPTIONS = f" fragment F on Product {{ {repeated(28, 'description')} }}"
PRICES = f" fragment F on Product {{ {repeated(28, 'price { amount currency }')} }}"
NUMBERED = "query ($a: Int, $b: Int) "
PRODUCT = (
    'product(id: "Product_00000000-0000-7000-8000-0000000000#") { id name store { id name owner { id fullName } } }'
)
TYPES = "types { fields { args { name type { name ofType { name } } } type { name } } }"
LOG_IN = 'logIn(input: { email: "x@example.com", password: "wrong horse battery" }) { __typename }'
LOG_OUT = 'logOut(input: { refreshToken: "x" }) { __typename }'
ATTACKS = [
    Attack("a search that most match", within("name", SEARCH % "a", "nodes")),
    Attack("a search of 250 words", within("name", SEARCH % ("a " * 250), "nodes")),
    Attack("a search of 8 words", within("name", SEARCH % " ".join("aostbfcm"), "nodes")),
    Attack(
        "2 searches of 8 letters",
        within(" ".join(f"{word}: {SEARCH % (word + ' o t a f s b c')} {{ nodes {{ name }} }}" for word in "lp")),
    ),
    Attack(
        "2 searches", within(" ".join(f"{word}: {SEARCH % (word + ' of')} {{ nodes {{ name }} }}" for word in "ao"))
    ),
    Attack("searches of 100 stores", within("id", "stores(first: 100)", "nodes", SEARCH % "a", "nodes")),
    Attack(
        "a search of 8 letters, its total, and 2 filters",
        within(
            'a: products(first: 1, filter: { search: "o t a f s b c l" }) { nodes { id } totalCount } '
            + " ".join(filtered(alias, NOTHING, "NAME") for alias in "bc")
        ),
    ),
    Attack(
        "a search of 8 letters, and what is past a cursor",
        within(
            f'products(first: 1, after: "{PAST}", filter: {{ search: "o t a f s b c l" }}) '
            "{ nodes { id } pageInfo { hasPreviousPage } }"
        ),
    ),
    Attack(
        "8 filters that nothing matches", within(" ".join(filtered(f"a{each}", NOTHING, "NAME") for each in range(8)))
    ),
    Attack(
        "a search in another order, with filters, and its total",
        within("nodes { name } totalCount", f"products(first: 1, filter: {MOST}, orderBy: {{ field: PRICE }})"),
    ),
    Attack(
        "a search in another order, with filters, and one by relevance",
        within(f"{filtered('a', MOST, 'PRICE')} b: products(first: 1, filter: {MOST}) {{ nodes {{ name }} }}"),
    ),
    Attack(
        "a range in another order, and its total",
        within(
            repeated(
                1, 'products(filter: { price: { gte: "4.#", lte: "4.0#" } }, orderBy: { field: NAME }) { totalCount }'
            )
        ),
    ),
    Attack("7 totals", within(repeated(7, "products(first: 1) { totalCount }"))),
    Attack(
        "filters and totals of 24 stores",
        within(
            "nodes { id } totalCount", "stores(first: 24)", "nodes", 'products(first: 1, filter: { currency: "XXX" })'
        ),
    ),
    Attack("100 descriptions, twice", within("a: description b: description", "products(first: 100)", "nodes")),
    Attack(
        "nested descriptions",
        within("...F", "products(first: 48)", "nodes", "store", "products(first: 48)", "nodes") + DESCRIPTIONS,
    ),
    Attack("many objects", within("id", "products(first: 100)", "nodes", "store", "products(first: 48)", "nodes")),
    Attack("many prices", within("...F", "stores(first: 34)", "nodes", "products(first: 48)", "nodes") + PRICES),
    Attack(
        "many values that are not compiled",
        within(
            '__type(name: "Query") { name } products(first: 100) { nodes { ' + repeated(28, "price { amount }") + " } }"
        ),
    ),
    Attack(
        "objects that are not compiled",
        within(
            '__type(name: "Query") { name } products(first: 100) { nodes { ' + repeated(10, "store { id }") + " } }"
        ),
    ),
    Attack(
        "other numbers for what is not compiled",
        NUMBERED
        + within(
            '__type(name: "Query") { name } products(first: $a) { nodes { name } } stores(first: $b) { nodes { name } }'
        ),
        lambda number: {"a": number % 50, "b": number % 49},
    ),
    Attack("a new document each time", lambda number: within(f"{repeated(19, PRODUCT)} b{number}: __typename")),
    Attack(
        "a new invalid document each time",
        lambda number: within(f"{repeated(29, 'nothing#')} b{number}: __typename", "viewer"),
    ),
    Attack("the schema 20 times", within(repeated(20, "__schema { types { fields { type { name } } } }"))),
    Attack("the schema", within(TYPES, "__schema")),
    Attack("the schema, another way each time", lambda number: within(f"{TYPES} b{number}: __typename", "__schema")),
    Attack("a login", f"mutation {within(LOG_IN)}"),
    Attack("20 logins", f"mutation {within(repeated(20, LOG_IN))}"),
    Attack("20 logouts", f"mutation {within(repeated(20, LOG_OUT))}"),
]


@dataclass(frozen=True)
class Taken:
    """What a request took: CPU and time in milliseconds, sizes in bytes."""

    sent: int
    answer: str
    wall: float
    server: float
    postgres: float

    @property
    def cpu_per_byte(self) -> float:
        """Milliseconds of CPU for each byte that was sent."""
        return (self.server + self.postgres) / self.sent


async def measured(attack: Attack, times: int, server: Server, postgres: int | None) -> Taken:
    """Send a request so many times, after a first time that isn't measured."""
    connection = await connect(server.port)
    connection.failed.add_done_callback(asyncio.Future.exception)  # as the server may close it at the end
    requests = [attack.request(number).encoded(None) for number in range(times + 1)]
    answer = await _answer(connection, requests[0])
    before = cpu_seconds(server.pid) or 0.0, cpu_seconds(postgres) or 0.0
    walls = []
    for request in requests[1:]:
        began = perf_counter()
        answer = await _answer(connection, request)
        walls.append(perf_counter() - began)
    after = cpu_seconds(server.pid) or 0.0, cpu_seconds(postgres) or 0.0
    connection.transport.close()
    ours, theirs = (1_000 * (later - earlier) / times for earlier, later in zip(before, after, strict=True))
    return Taken(len(requests[1]), _told(answer), 1_000 * median(walls), ours, theirs)


async def _answer(connection: Connection, request: bytes) -> bytes:
    answered: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    connection.send(request, answered.set_result)
    await asyncio.wait((answered, connection.failed), return_when=asyncio.FIRST_COMPLETED)
    return answered.result() if answered.done() else b""


def _told(answer: bytes) -> str:
    """Return what an answer amounts to: its size, or the code of its first error."""
    body = answer.partition(b"\r\n\r\n")[2]
    if not body:
        return "no answer"
    errors = json.loads(body).get("errors")
    return str(errors[0]["extensions"]["code"]) if errors else f"{len(body):,} B"


async def attacked(server_url: str, times: int) -> list[tuple[Attack, Taken]]:
    """Return what each attack took, the worst for its size first."""
    found = []
    async with opened(server_url, DATABASE, SIZE) as database, served(WITH_INTROSPECTION, database.url) as server:
        writer = await asyncpg.connect(dsn_of(database.url))
        before = [(row["id"], row["description"]) for row in await writer.fetch(SOME)]
        await writer.executemany(SET, [(key, "😀" * PARAGRAPHS) for key, _ in before])
        try:
            postgres = await database.postmaster()
            for attack in ATTACKS:
                taken = await measured(attack, times, server, postgres)
                typer.echo(f"{attack.name}: {taken.answer}", err=True)
                found.append((attack, taken))
            typer.echo(f"The server holds {resident_megabytes(server.pid) or 0:.0f} MB.", err=True)
        finally:
            await writer.executemany(SET, before)
            await writer.close()
    return sorted(found, key=lambda each: each[1].cpu_per_byte, reverse=True)


def main(times: Annotated[int, typer.Option(min=1, help="How often each request is sent.")] = 10) -> None:
    """Print the CPU that each request takes, the worst for each byte first."""
    with database_server() as url:
        found = asyncio.run(attacked(url, times))
    table = Table("request", "bytes", "answer", "ms", "server CPU ms", "Postgres CPU ms", "CPU µs per byte")
    for attack, taken in found:
        figures = (f"{figure:.1f}" for figure in (taken.wall, taken.server, taken.postgres, 1_000 * taken.cpu_per_byte))
        table.add_row(attack.name, f"{taken.sent:,}", taken.answer, *figures)
    Console(width=160).print(table)


if __name__ == "__main__":
    typer.run(main)
