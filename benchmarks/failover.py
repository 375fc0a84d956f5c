"""Measure how long a failover keeps customers waiting: `python -m benchmarks.failover`.

Customers place orders one after the other, with idempotency keys. The primary is killed, or frozen as a machine that
accepts connections and never answers, and its synchronous standby promoted at once."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter
from typing import Annotated, Any
from uuid import uuid4

import asyncpg
import httpx2
import typer

from benchmarks.__main__ import DATABASE
from benchmarks.contestants import APP
from benchmarks.database import opened
from benchmarks.report import aligned
from benchmarks.scenarios import CUSTOMER
from benchmarks.servers import served
from tools.bulk import Size
from tools.clusters import Node, NoPrograms, cluster

SIZE = Size(stores=10, products=400, orders=50)
_PLACE = """
mutation ($items: [OrderItemInput!]!) {
  placeOrder(input: { items: $items }) { ... on PlaceOrderSuccess { order { id } } }
}
"""
_BEFORE_SECONDS, _AFTER_SECONDS = 1.0, 10.0


@dataclass
class Answers:
    """What the customers received, and when, in seconds."""

    placed: dict[str, str] = field(default_factory=dict)
    """The order of each key."""
    moments: list[float] = field(default_factory=list)
    longest: float = 0.0


async def order(client: httpx2.AsyncClient, product: str, until: float, answers: Answers) -> None:
    """Place orders, each under its key until it is placed."""
    body = {"query": _PLACE, "variables": {"items": [{"productId": product, "quantity": 1}]}}
    while perf_counter() < until:
        key = uuid4().hex
        while key not in answers.placed and perf_counter() < until + _AFTER_SECONDS:
            begun = perf_counter()
            answer = (await client.post("/graphql", json=body, headers={"Idempotency-Key": key})).json()
            answers.longest = max(answers.longest, perf_counter() - begun)
            placed: Any = (answer.get("data") or {}).get("placeOrder")
            if placed:
                answers.placed[key] = placed["order"]["id"]
                answers.moments.append(perf_counter())
            else:
                await asyncio.sleep(0.02)


async def fail_over(customers: int, fail: Callable[[Node], None]) -> tuple[str, ...]:
    """Return the seconds until the first order, the longest request, and how many orders are lost or doubled."""
    with cluster(is_synchronous=True) as servers:
        async with opened(servers.primary.url, DATABASE, SIZE) as database:
            world = await database.world()
            product = next(iter(world.product_names))
        places = f"{servers.primary.place},{servers.standby.place}"
        async with served(APP, f"postgresql://postgres@{places}/{DATABASE}?target_session_attrs=read-write") as server:
            headers = {"Authorization": f"Bearer {world.tokens[CUSTOMER]}"}
            url = f"http://127.0.0.1:{server.port}"
            async with httpx2.AsyncClient(base_url=url, headers=headers, timeout=30) as client:
                answers, until = Answers(), perf_counter() + _BEFORE_SECONDS + _AFTER_SECONDS
                ordering = [
                    asyncio.create_task(order(client, f"Product_{product}", until, answers)) for _ in range(customers)
                ]
                await asyncio.sleep(_BEFORE_SECONDS)
                fail(servers.primary)
                await asyncio.to_thread(servers.standby.promote)
                promoted = perf_counter()
                await asyncio.gather(*ordering)
        there = await _orders(servers.standby)
    first = next((moment for moment in answers.moments if moment > promoted), None)
    lost, doubled = len(set(answers.placed.values()) - there), len(there) - SIZE.orders - len(answers.placed)
    waited = "never" if first is None else f"{first - promoted:.2f} s"
    return waited, f"{answers.longest:.2f} s", str(lost), str(doubled)


async def _orders(node: Node) -> set[str]:
    connection = await asyncpg.connect(f"postgresql://postgres@{node.place}/{DATABASE}")
    try:
        return {f"Order_{row['id']}" for row in await connection.fetch("SELECT id FROM orders")}
    finally:
        await connection.close()


async def compare(rounds: int, customers: int) -> list[tuple[str, ...]]:
    """Return the figures of each failover."""
    rows: list[tuple[str, ...]] = [("the primary was", "first order", "longest request", "lost", "doubled")]
    for _ in range(rounds):
        rows.append(("killed", *(await fail_over(customers, Node.kill))))
        rows.append(("frozen", *(await fail_over(customers, Node.freeze))))
    return rows


def main(
    rounds: Annotated[int, typer.Option(min=1, max=20, help="Number of failovers of each kind.")] = 3,
    customers: Annotated[int, typer.Option(min=1, max=64, help="Number of customers.")] = 4,
) -> None:
    """Print the seconds from a promotion to the first order, and the longest request."""
    try:
        rows = asyncio.run(compare(rounds, customers))
    except NoPrograms as missing:
        raise typer.BadParameter(str(missing)) from None
    typer.echo("\n" + aligned(rows))


if __name__ == "__main__":
    typer.run(main)
