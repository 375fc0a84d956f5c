"""The resolver path: Strawberry on graphql-core, one unit of work for each operation; what is retried and given up."""

from asyncio import CancelledError
from functools import partial
from typing import Any, cast

from graphql import ExecutionResult, GraphQLError, execute
from stamina import retry_context

from app.db.engine import raise_fault
from app.db.unit_of_work import UnitOfWork
from app.errors import DatabaseUnavailable, OutcomeUnknown, Overloaded, TimedOut, TransactionConflict
from app.graphql.context import Context
from app.graphql.errors import is_internal, presentable
from app.graphql.operations.cancellation import Disconnected, undisturbed
from app.graphql.operations.documents import ParsedOperation
from app.graphql.operations.execution import MutationExecution
from app.graphql.operations.explain import explained
from app.graphql.operations.responses import Extensions, Response, encoded, given_up, not_executed
from app.graphql.strawberry_internals import ExecutionContext, is_awaitable
from app.idempotency.service import Replay
from app.monitoring.operation_log import RESOLVER, OperationLog

FAULTS = (TransactionConflict, TimedOut, Overloaded, DatabaseUnavailable, OutcomeUnknown)
"""Why an operation is given up, and undone."""
# After the first attempt, up to four more.
_RETRIES: dict[str, Any] = {"attempts": 4, "wait_initial": 0.01, "wait_max": 0.2, "wait_jitter": 0.02}


class ResolverPath:
    """One operation on the resolver path."""

    def __init__(
        self,
        context: Context,
        operation: ParsedOperation,
        extensions: Extensions = None,
        explain: OperationLog | None = None,
    ) -> None:
        self._context = context
        self._operation = operation
        self._extensions = extensions
        self._explain = explain

    async def execute(self) -> Response:
        """Execute the operation. A mutation is committed before this returns; where it has no data, or something
        unforeseen went wrong, it is rolled back: Postgres may have aborted the transaction, and would commit nothing.

        Where Postgres ended a mutation because another was in its way, it is executed again, a few times. What takes
        too long is given up, and so is what nobody waits for, unless it is a mutation that has begun."""
        context = self._context
        try:
            with context.services.watch.over(context.request.receive, partial(_may_be_given_up, context)):
                return await self._execute_until_settled()
        except FAULTS as fault:
            return given_up(fault, RESOLVER, self._extensions)

    async def _execute_until_settled(self) -> Response:
        try:
            return await self._attempt()
        except TransactionConflict:
            async for attempt in retry_context(on=TransactionConflict, **_RETRIES):
                with attempt:
                    self._context.begin()
                    return await self._attempt()
        raise AssertionError("an attempt returns or raises")

    async def _attempt(self) -> Response:
        work = self._context.work
        try:
            result = await self._resolve()
            if (replay := _replay_in(self._context, result)) is not None:
                return Response(replay.response, replayed=True)
            return await self._finish(result)
        except CancelledError:
            work.cancel()
            await undisturbed(work.close())  # a stream is cancelled again and again, until it has ended
            raise
        finally:
            await work.close()

    async def _resolve(self) -> ExecutionResult:
        """Return graphql-core's result. Strawberry's own `execute` would parse and validate the document again."""
        services, name = self._context.services, self._operation.definition.name
        is_compiled = self._operation.is_mutation and services.compiled is not None
        executed: Any = execute(
            services.schema,
            self._operation.document,
            context_value=self._context,
            variable_values=cast(Any, self._context.request.document.variables),
            operation_name=None if name is None else name.value,
            executor_class=MutationExecution if is_compiled else ExecutionContext,
            is_awaitable=cast(Any, is_awaitable),
            hide_suggestions=not services.settings.introspection,
            operation_extensions=None,
        )
        return cast(ExecutionResult, await executed if is_awaitable(executed) else executed)

    async def _finish(self, result: ExecutionResult) -> Response:
        """Commit what the operation did, with the response where it is to be kept, and present its errors."""
        context, work, data = self._context, self._context.work, result.data
        is_executed = data is not None or any(error.path is not None for error in result.errors or ())
        errors = [presentable(error, context.request_id) for error in result.errors or ()]
        if work.writes and any(is_internal(error) for error in errors):
            data = None
        try:
            kept = None
            if work.writes and data is not None and context.idempotent_request is not None:
                kept = encoded(data, errors, self._extensions)
                await context.idempotent_request.keep(work.session, kept.body)
            await work.finish(commit=data is not None)
        except OutcomeUnknown:
            raise
        except Exception as failure:
            raise_fault(failure)
            return encoded(None, [presentable(GraphQLError(str(failure), original_error=failure), context.request_id)])
        if kept is not None:
            return kept
        extensions = self._extensions
        if self._explain is not None:
            extensions = {**(extensions or {}), "explain": explained(self._explain, RESOLVER)}
        # variables that do not fit have errors without a path
        return encoded(data, errors, extensions) if is_executed else not_executed(errors, extensions)


def _may_be_given_up(context: Context, reason: TimedOut | Disconnected) -> bool:
    work: UnitOfWork = context.work
    return not (work.writes if isinstance(reason, Disconnected) else work.is_settled)


def _replay_in(context: Context, result: ExecutionResult) -> Replay | None:
    """Return the kept response, if that is the result of the fields; raise whatever else they report about the
    operation as a whole: faults of the database, and that a subscription has nothing to send."""
    for error in result.errors or ():
        if context.following is not None:
            context.following.raise_not_now(error.original_error)
        if isinstance(error.original_error, Replay):
            return error.original_error
        raise_fault(error.original_error)
    return None
