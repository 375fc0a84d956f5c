"""Both lanes over the same rows, and what the compiled one made of each operation."""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import httpx2
import orjson

from app.db.engine import Database
from app.db.models import User
from app.graphql.compiled.path import CompiledLane
from app.graphql.compiled.plans import NoPlan, Plan
from app.main import create_app
from app.settings import Settings
from tests.api import Api

# What is refused for its size is refused by neither lane.
UNLIMITED = {
    "cost_limit": 1_000_000_000,
    "depth_limit": 100,
    "root_field_limit": 10_000,
    "alias_limit": 10_000,
    "directive_limit": 10_000,
    "token_limit": 100_000,
    "body_limit_kb": 1024,
}
Execute = Callable[..., Awaitable[bytes | None]]


@dataclass(frozen=True)
class Answers:
    """What the lanes answered to one operation, and whether the compiled one needed the other's help."""

    ordinary: bytes
    compiled: bytes
    was_compiled: bool

    @property
    def has_errors(self) -> bool:
        return "errors" in orjson.loads(self.ordinary)

    @property
    def data(self) -> Any:
        """What both lanes answered alike, each by itself."""
        assert self.was_compiled, "the compiled lane left it to the ordinary one"
        assert self.compiled == self.ordinary
        return orjson.loads(self.ordinary)["data"]


class Lanes:
    """The application with the compiled lane, and without it."""

    def __init__(self, ordinary: Api, compiled: Api, watch: "Watch") -> None:
        self.ordinary = ordinary
        self.compiled = compiled
        self.watch = watch

    @classmethod
    async def open(cls, stack: AsyncExitStack, database: Database, settings: Settings, watch: "Watch") -> "Lanes":
        apis = []
        for compiled_lane in (False, True):
            app = create_app(settings.model_copy(update={**UNLIMITED, "compiled_lane": compiled_lane}), database)
            transport = httpx2.ASGITransport(app=app)
            client = httpx2.AsyncClient(transport=transport, base_url="http://test")
            apis.append(Api(await stack.enter_async_context(client), settings))
        ordinary, compiled = apis
        return cls(ordinary, compiled, watch)

    def lane(self) -> CompiledLane:
        """The compiled lane that has answered last."""
        assert self.watch.lane is not None
        return self.watch.lane

    def plans(self) -> list[Plan | NoPlan]:
        """The plans of the document that was asked for last."""
        return list(list(self.lane()._queries)[-1])

    async def ask(
        self,
        query: str,
        variables: Mapping[str, Any] | None = None,
        *,
        user: User | None = None,
        operation_name: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answers:
        """Send an operation to both. A failure of the compiled lane is one, though the other makes it good."""
        bodies = []
        for api in (self.ordinary, self.compiled):
            self.watch.clear()
            authorization = {"Authorization": f"Bearer {api.token(user)}"} if user else {}
            body = {"query": query, "variables": variables, "operationName": operation_name}
            response = await api.client.post("/graphql", json=body, headers={**authorization, **(headers or {})})
            assert response.status_code == 200, response.text
            bodies.append(response.content)
        if self.watch.failure is not None:
            raise self.watch.failure
        ordinary, compiled = bodies
        return Answers(ordinary, compiled, was_compiled=self.watch.answered)

    async def agree(
        self,
        query: str,
        variables: Mapping[str, Any] | None = None,
        *,
        user: User | None = None,
        operation_name: str | None = None,
    ) -> Answers:
        """Send an operation to both, which must answer alike; return what they did."""
        answers = await self.ask(query, variables, user=user, operation_name=operation_name)
        assert answers.compiled == answers.ordinary
        assert not (answers.was_compiled and answers.has_errors)
        return answers


class Watch:
    """Sees what the compiled lane does: a failure that is made good by the ordinary lane, and its statements."""

    def __init__(self) -> None:
        self.lane: CompiledLane | None = None
        self.clear()

    def clear(self) -> None:
        self.calls = 0
        self.answered = False
        self.failure: Exception | None = None
        self.statements: list[str] = []

    @classmethod
    @contextmanager
    def started(cls) -> Iterator["Watch"]:
        watch, execute, driver_row = cls(), CompiledLane.execute, Database.driver_row

        async def watched_execute(self: CompiledLane, *arguments: Any, **named: Any) -> bytes | None:
            watch.calls += 1
            watch.lane = self
            try:
                body = await execute(self, *arguments, **named)
            except Exception as failure:
                watch.failure = failure
                raise
            watch.answered = body is not None
            return body

        async def watched_row(self: Database, sql: str, parameters: Any) -> Any:
            watch.statements.append(sql)
            return await driver_row(self, sql, parameters)

        with (
            patch.object(CompiledLane, "execute", watched_execute),
            patch.object(Database, "driver_row", watched_row),
        ):
            yield watch
