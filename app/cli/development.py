"""What commands use of `tools`, which the production image leaves out: the embedded Postgres and seed data.

Import this module within `requires_tools`, which explains why it is missing."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from rich.progress import MofNCompleteColumn, Progress, TaskID, TimeElapsedColumn
from sqlalchemy.ext.asyncio import AsyncEngine

from app.cli.output import fail
from app.settings import EMBEDDED_POSTGRES
from tools import postgres
from tools.bulk import Size, seed_bulk
from tools.demo import seed_demo
from tools.seeding import DEMO_ACCOUNTS, DEMO_PASSWORD, Counts, NotEmpty

__all__ = ["DEMO_ACCOUNTS", "DEMO_PASSWORD", "NotEmpty", "Size", "embedded_postgres", "seed_demo", "seed_with_progress"]


@contextmanager
def embedded_postgres() -> Iterator[str]:
    """Yield the URL of the embedded Postgres; end the command if it cannot start."""
    with ExitStack() as running:
        try:
            url = running.enter_context(postgres.embedded_postgres(EMBEDDED_POSTGRES))
        except postgres.PostgresUnavailable as failure:
            fail(str(failure))
        yield url


async def seed_with_progress(engine: AsyncEngine, size: Size, seed: int) -> Counts:
    """Fill an empty database with bulk data and show the progress; NotEmpty if it isn't empty."""
    with Progress(*Progress.get_default_columns(), MofNCompleteColumn(), TimeElapsedColumn()) as progress:
        tasks: dict[str, TaskID] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=total)
            progress.update(tasks[what], completed=done, total=total)

        return await seed_bulk(engine, size, seed, show)
