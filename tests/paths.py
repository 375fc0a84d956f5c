"""Both paths over the same rows, and what the compiled one made of each operation."""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import httpx2
import orjson

from app.db.engine import Database
from app.db.models import User
from app.graphql.compiled.path import Answer, CompiledPath
from app.graphql.compiled.plans import NoPlan, Plan
from app.graphql.operations.documents import ParsedOperation, RequestedOperation
from app.main import create_app
from app.settings import Settings
from tests.api import Api

# What is refused for its size is refused by neither path.
UNLIMITED = {
    "cost_limit": 10_000_000_000,
    "payload_cost_limit": 1_000_000_000,
    "value_limit": 1_000_000_000,
    "depth_limit": 100,
    "root_field_limit": 10_000,
    "alias_limit": 10_000,
    "directive_limit": 10_000,
    "token_limit": 100_000,
    "body_limit_kb": 1024,
}
Execute = Callable[..., Awaitable[Answer | None]]


@dataclass(frozen=True)
class Answers:
    """What the paths answered to one operation, and whether the compiled one needed the other's help."""

    resolver: bytes
    compiled: bytes
    was_compiled: bool

    @property
    def errors(self) -> list[Any]:
        errors: list[Any] = orjson.loads(self.resolver).get("errors", [])
        return errors

    @property
    def has_errors(self) -> bool:
        return bool(self.errors)

    @property
    def data(self) -> Any:
        """What both paths answered alike, each by itself."""
        assert self.was_compiled, "the compiled path left it to the resolver path"
        assert self.compiled == self.resolver
        return orjson.loads(self.resolver)["data"]


class Paths:
    """The application with the compiled path, and without it."""

    def __init__(self, resolver: Api, compiled: Api, watch: "Watch") -> None:
        self.resolver = resolver
        self.compiled = compiled
        self.watch = watch

    @classmethod
    async def open(cls, stack: AsyncExitStack, database: Database, settings: Settings, watch: "Watch") -> "Paths":
        apis = []
        for compiled_path in (False, True):
            app = create_app(settings.model_copy(update={**UNLIMITED, "compiled_path": compiled_path}), database)
            transport = httpx2.ASGITransport(app=app)
            client = httpx2.AsyncClient(transport=transport, base_url="http://test")
            apis.append(Api(await stack.enter_async_context(client), settings))
        resolver, compiled = apis
        return cls(resolver, compiled, watch)

    def plans(self) -> list[Plan | NoPlan]:
        """The plans of the document that was asked for last."""
        assert self.watch.operation is not None
        return [plan for plan in self.watch.operation.plans if plan.bindings or not isinstance(plan, NoPlan)]

    async def ask(
        self,
        query: str,
        variables: Mapping[str, Any] | None = None,
        *,
        user: User | None = None,
        operation_name: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answers:
        """Send an operation to both. A failure of the compiled path is one, though the other makes it good."""
        bodies = []
        for api in (self.resolver, self.compiled):
            self.watch.clear()
            authorization = {"Authorization": f"Bearer {api.token(user)}"} if user else {}
            body = {"query": query, "variables": variables, "operationName": operation_name}
            response = await api.client.post("/graphql", json=body, headers={**authorization, **(headers or {})})
            assert response.status_code == 200, response.text
            bodies.append(response.content)
        if self.watch.failure is not None:
            raise self.watch.failure
        resolver, compiled = bodies
        return Answers(resolver, compiled, was_compiled=self.watch.answered)

    async def agree(
        self,
        query: str,
        variables: Mapping[str, Any] | None = None,
        *,
        user: User | None = None,
        operation_name: str | None = None,
    ) -> Answers:
        """Send an operation to both, which must answer alike, errors included; return what they did. The compiled path
        reports no errors but those of root fields that the viewer may not read."""
        answers = await self.ask(query, variables, user=user, operation_name=operation_name)
        assert answers.compiled == answers.resolver
        if answers.was_compiled:
            for error in answers.errors:
                assert error["extensions"]["code"] in ("UNAUTHENTICATED", "FORBIDDEN"), error
                (key,) = error["path"]
                assert orjson.loads(answers.resolver)["data"][key] is None
        return answers


class Watch:
    """Sees what the compiled path does: a failure that is made good by the resolver path, and its statements."""

    def __init__(self) -> None:
        self.operation: ParsedOperation | None = None
        self.clear()

    def clear(self) -> None:
        self.calls = 0
        self.answered = False
        self.failure: Exception | None = None
        self.statements: list[str] = []

    @classmethod
    @contextmanager
    def started(cls) -> Iterator["Watch"]:
        watch, execute, driver_row = cls(), CompiledPath.execute, Database.driver_row

        async def watched_execute(
            self: CompiledPath, viewer: Any, operation: RequestedOperation, turn: Any, read: Any = None
        ) -> Answer | None:
            watch.calls += 1
            watch.operation = operation.parsed
            try:
                answer = await execute(self, viewer, operation, turn, read)
            except Exception as failure:
                watch.failure = failure
                raise
            watch.answered = answer is not None
            return answer

        async def watched_row(self: Database, sql: str, parameters: Any) -> Any:
            watch.statements.append(sql)
            return await driver_row(self, sql, parameters)

        with patch.object(CompiledPath, "execute", watched_execute), patch.object(Database, "driver_row", watched_row):
            yield watch
