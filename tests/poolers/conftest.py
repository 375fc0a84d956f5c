"""PgBouncers in front of the database of the tests."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import pytest

from tools.pgbouncer import TRACKS, PgBouncer, installed, pooled, tracking

Open = Callable[..., str]


@pytest.fixture(scope="session")
def newest() -> PgBouncer:
    """A PgBouncer that can track prepared statements."""
    return _installed(tracking(), "PgBouncer 1.21 or newer")


@pytest.fixture(scope="session")
def oldest() -> PgBouncer:
    """A PgBouncer that cannot."""
    return _installed(next((each for each in installed() if each.version < TRACKS), None), "PgBouncer 1.20 or older")


def _installed(pgbouncer: PgBouncer | None, name: str) -> PgBouncer:
    if pgbouncer is None:
        pytest.skip(f"{name} is not installed")
    return pgbouncer


@pytest.fixture
def opened(direct_url: str, newest: PgBouncer) -> Iterator[Open]:
    """Starts PgBouncers with these options, which pool transactions unless they say otherwise; returns the URL."""
    with ExitStack() as stack:

        def start(url: str = direct_url, pgbouncer: PgBouncer = newest, **options: Any) -> str:
            running: AbstractContextManager[str] = pooled(url, pgbouncer, **{"pool_mode": "transaction", **options})
            return stack.enter_context(running)

        yield start
