"""One market that is committed, both paths over it with the limits that an operator has, and an ear for errors."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import httpx2
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.types import ASGIApp
from structlog.testing import capture_logs

from app.main import create_app
from app.security import passwords
from app.settings import Settings
from tests.api import Api
from tests.databases import committing
from tests.fuzz.requests import JSON, Headers
from tests.graphql.compiled.conftest import pooled, population
from tests.graphql.compiled.operations import Samples
from tests.graphql.compiled.samples import samples_of
from tests.graphql.compiled.world import Population
from tests.security.hashing import use_recording_hasher

__all__ = ["pooled", "population"]  # fixtures

Quiet = Callable[[object], None]
"""Fails where the log tells of an error; is told what was asked."""


class Fuzzed:
    """The application with and without the compiled path, and who may ask it."""

    def __init__(
        self, compiled: ASGIApp, resolver: ASGIApp, api: Api, population: Population, samples: Samples
    ) -> None:
        self.compiled = compiled
        self.resolver = resolver
        self.api = api
        self.population = population
        self.samples = samples

    def headers(self, viewer: str) -> Headers:
        """Return the headers of a request of this viewer."""
        user = self.population.viewers[viewer]
        return [JSON, *([(b"authorization", f"Bearer {self.api.token(user)}".encode())] if user else [])]


@pytest.fixture(scope="package")
async def fuzzed(pooled: AsyncEngine, population: Population, settings: Settings) -> AsyncIterator[Fuzzed]:
    resolver, compiled = (
        create_app(
            settings.model_copy(update={"compiled_path": path, "cost_limit": 100_000, "value_limit": 1_000_000_000}),
            committing(pooled),
        )
        for path in (False, True)
    )
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=resolver), base_url="http://test") as client:
        api = Api(client, settings)
        yield Fuzzed(compiled, resolver, api, population, await samples_of(api, population))


@pytest.fixture
async def quiet(fuzzed: Fuzzed, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Quiet]:
    """Fails where the log, or the event loop, tells of an error since the last time."""
    loop, unheard = asyncio.get_running_loop(), list[Mapping[str, Any]]()

    def hear(_: object, context: Mapping[str, Any]) -> None:
        # asyncpg leaves this behind where a client hangs up while its connection is being opened over TCP, on the loop
        # of the tests; uvloop, which serves, doesn't get there.
        if str(context.get("exception")) != "unexpected connection_lost() call":
            unheard.append(context)

    loop.set_exception_handler(hear)
    with capture_logs() as entries:

        def check(asked: object) -> None:
            errors = [entry for entry in entries if entry["log_level"] in ("error", "critical")]
            errors += [{"record": each.getMessage()} for each in caplog.records if each.levelno >= logging.ERROR]
            assert [*errors, *unheard] == [], asked
            entries.clear()
            caplog.clear()

        yield check
        check("at the end")
    loop.set_exception_handler(None)


@pytest.fixture(autouse=True)
async def _cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    await use_recording_hasher(monkeypatch)
    yield
    passwords._nobodys_hash.cache_clear()
