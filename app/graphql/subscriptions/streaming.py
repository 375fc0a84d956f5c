"""An operation whose results are sent one after the other: over a websocket, or as server-sent events."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable
from functools import partial

import orjson
from strawberry.types import ExecutionResult

from app.errors import BadUserInput, RateLimited
from app.graphql.context import Context
from app.graphql.operations.cancellation import undisturbed
from app.graphql.operations.documents import GraphQLRequest, RequestedOperation
from app.graphql.operations.executor import Executor
from app.graphql.operations.responses import encode, refused
from app.graphql.subscriptions import manager as subscriptions
from app.graphql.subscriptions.rereading import rereading
from app.monitoring import operation_log as reports
from app.monitoring.operation_log import Report

Results = AsyncGenerator[ExecutionResult]


class Streams:
    """Executes operations for clients that are sent streams."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    async def results(self, context: Context, request: GraphQLRequest) -> Results:
        """Return the results of an operation, one after the other: of a subscription as long as it lasts."""
        report = reports.begin(context.request_id, request.operation_name)
        report.act_for(context.token_viewer)
        return context.monitor.told(await self._results(context, request, report), report)

    async def _results(self, context: Context, request: GraphQLRequest, report: Report) -> Results:
        operation = context.documents.requested(request)
        report.describe(operation.definition, operation.cost)
        try:
            await context.take_points(operation.points)
        except RateLimited as refusal:
            return _only(refused(refusal))
        if not operation.is_subscription or operation.errors:
            return _once(partial(self._execute, context, operation, report))
        try:
            key = _key(request)
        except BadUserInput as refusal:
            return _only(refused(refusal))
        return subscriptions.results(context, key, self._reader(context, operation, report))

    async def _execute(self, context: Context, operation: RequestedOperation, report: Report) -> ExecutionResult:
        async def execute() -> ExecutionResult:
            with context.monitor.span(report):
                return await self._executor.execute(context, operation)

        # A mutation that has begun is done, whoever still listens.
        return await (undisturbed(execute()) if operation.is_mutation else execute())

    def _reader(
        self, context: Context, operation: RequestedOperation, report: Report
    ) -> Callable[[], Awaitable[ExecutionResult]]:
        """Return what reads what a subscription tells now."""
        assert operation.parsed is not None, "it is a subscription"
        again = rereading(operation.parsed, self._executor.schema)

        async def read() -> ExecutionResult:
            context.begin()
            if again is not None and context.is_following:
                with context.monitor.span(report):
                    result = await again.read(context, operation.request)
                if result is not None:
                    return result
                context.begin()
            return encode(await self._execute(context, operation, report))

        return read


def _key(request: GraphQLRequest) -> Hashable:
    """Return what is the same for subscribers that are told the same; BadUserInput where the variables have no end."""
    try:
        variables = orjson.dumps(request.variables, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:
        raise BadUserInput("variables", "are nested too deeply") from None
    return request.query, request.operation_name, variables


async def _only(result: ExecutionResult) -> Results:
    yield result


async def _once(execute: Callable[[], Awaitable[ExecutionResult]]) -> Results:
    yield await execute()
