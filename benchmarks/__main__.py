"""The command line: `python -m benchmarks`."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from app.settings import ROOT, load_settings
from benchmarks.contestants import CONTESTANTS, Contestant, variant
from benchmarks.database import opened
from benchmarks.race import Course, Outcome, race
from benchmarks.report import facts, printed, raw
from benchmarks.scenarios import SCENARIOS, Scenario
from tools.bulk import Size
from tools.postgres import embedded_postgres

DATABASE = "orders_benchmark"
Named = TypeVar("Named", Contestant, Scenario)

cli = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@cli.command()
def main(
    rounds: Annotated[int, typer.Option(min=1, help="Number of turns of each contestant.")] = 3,
    seconds: Annotated[float, typer.Option(min=0.1, max=60, help="Duration of a turn.")] = 3.0,
    only: Annotated[str, typer.Option(help="Scenarios, such as Q1,Q4. Default: all.")] = "",
    contestants: Annotated[str, typer.Option(help="Contestants, such as app,sql. Default: all.")] = "",
    variants: Annotated[
        list[str] | None, typer.Option("--variant", help="Add the app with other settings: 'app plain:NAME=VALUE,…'.")
    ] = None,
    connections: Annotated[str, typer.Option(help="Numbers of concurrent connections, each up to 64.")] = "1,16",
    quick: Annotated[
        bool, typer.Option("--quick", help="Only check that it works: one round of half a second.")
    ] = False,
    pin: Annotated[bool, typer.Option(help="Run the servers on a core of their own.")] = True,
    stores: Annotated[int, typer.Option(min=10, help="Number of stores.")] = 200,
    products: Annotated[int, typer.Option(min=1_000, help="Number of products.")] = 200_000,
    orders: Annotated[int, typer.Option(min=100, help="Number of orders.")] = 100_000,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the raw figures to this file.")] = None,
) -> None:
    """Compare the API with a tutorial's server and with hand-written SQL, on the same data and machine."""
    course = Course(
        contestants=chosen([*CONTESTANTS[:1], *map(variant, variants or ()), *CONTESTANTS[1:]], contestants),
        scenarios=chosen(SCENARIOS, only),
        connections=[min(64, max(1, int(number))) for number in connections.split(",")],
        rounds=1 if quick else rounds,
        seconds=0.5 if quick else seconds,
        pin=pin,
    )
    size = Size(stores, products, orders)
    with database_server() as url:
        outcome, about = asyncio.run(run(url, DATABASE, course, size))
    typer.echo("\n" + printed(about, course, outcome))
    if json_file is not None:
        json_file.write_text(json.dumps(raw(about, outcome), indent=2) + "\n", encoding="utf-8")


def chosen(everything: Sequence[Named], names: str) -> list[Named]:
    """Return the entries with these names, or all. Raise BadParameter for an unknown name."""
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    known = {one.name: one for one in everything}
    if unknown := [name for name in wanted if name not in known]:
        raise typer.BadParameter(f"{', '.join(unknown)}: choose from {', '.join(known)}")
    return [one for one in everything if not wanted or one.name in wanted]


async def run(server_url: str, name: str, course: Course, size: Size) -> tuple[Outcome, dict[str, str]]:
    """Run the course on this database. Return the outcome and the facts needed to interpret it."""
    async with opened(server_url, name, size) as database:
        outcome = await race(course, database, lambda message: typer.echo(message, err=True))
        return outcome, facts(course, outcome, size, await database.version())


@contextmanager
def database_server() -> Iterator[str]:
    """Yield DATABASE_URL, or the URL of an embedded server for the benchmarks."""
    url = load_settings().database_url
    if url is not None:
        yield url
    else:
        with embedded_postgres(ROOT / ".data" / "bench-postgres") as url:
            yield url


if __name__ == "__main__":
    cli()
