"""The resolver path: one operation is executed as one unit of work, with what is tried again and what is given up."""

from asyncio import CancelledError
from collections.abc import Mapping
from functools import partial
from typing import Any, cast

from graphql import GraphQLError, GraphQLSchema, execute
from stamina import retry_context
from strawberry.execution import optimized_is_awaitable
from strawberry.types import ExecutionResult
from strawberry.types.execution import PreExecutionError
from strawberry.utils.await_maybe import await_maybe

from app.db.engine import raise_fault
from app.db.unit_of_work import UnitOfWork
from app.errors import DatabaseUnavailable, OutcomeUnknown, Overloaded, TimedOut, TransactionConflict
from app.graphql.context import Context
from app.graphql.errors import is_internal, presentable
from app.graphql.operations.cancellation import HungUp, undisturbed
from app.graphql.operations.documents import ParsedOperation, RequestedOperation
from app.graphql.operations.execution import Execution
from app.graphql.operations.explain import explained
from app.graphql.operations.responses import EncodedResult, encode, given_up
from app.idempotency.service import Replay
from app.monitoring.operation_log import RESOLVER

_FAULTS = (TransactionConflict, TimedOut, Overloaded, DatabaseUnavailable, OutcomeUnknown)
# After the first attempt, up to four more.
_RETRIES: dict[str, Any] = {"attempts": 4, "wait_initial": 0.01, "wait_max": 0.2, "wait_jitter": 0.02}

Variables = Mapping[str, Any] | None


class Executor:
    """Executes operations of a schema."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self.schema = schema

    async def execute(self, context: Context, operation: RequestedOperation) -> ExecutionResult:
        """Execute an operation. A mutation is committed before this returns; where it has no data, or something
        unforeseen went wrong, it is undone: Postgres may have given up the transaction, and would commit nothing.

        Where Postgres ended a mutation because another stood in its way, it is executed again, a few times. What
        takes too long is given up, and so is what nobody waits for, unless it is a mutation that has begun."""
        context.cost = operation.cost
        if operation.errors:
            return PreExecutionError(data=None, errors=[*operation.errors], extensions=context.extensions())
        assert operation.parsed is not None, "what is wrong with it would be among its errors"
        try:
            with context.watch.over(context.receive, partial(_may_be_given_up, context)):
                return await self._execute_until_settled(context, operation.parsed, operation.request.variables)
        except _FAULTS as fault:
            return given_up(fault, context.extensions())

    async def _execute_until_settled(
        self, context: Context, operation: ParsedOperation, variables: Variables
    ) -> ExecutionResult:
        try:
            return await self._attempt(context, operation, variables)
        except TransactionConflict:
            async for attempt in retry_context(on=TransactionConflict, **_RETRIES):
                with attempt:
                    context.begin()
                    return await self._attempt(context, operation, variables)
        raise AssertionError("an attempt returns or raises")

    async def _attempt(self, context: Context, operation: ParsedOperation, variables: Variables) -> ExecutionResult:
        work = context.work
        try:
            result = await self._resolve(context, operation, variables)
            if (replayed := _replayed(context, result)) is not None:
                return replayed
            return await _finish(context, result)
        except CancelledError:
            work.cancel()
            await undisturbed(work.close())  # a stream is cancelled again and again, until it has ended
            raise
        finally:
            await work.close()

    async def _resolve(self, context: Context, operation: ParsedOperation, variables: Variables) -> ExecutionResult:
        """Return what graphql-core makes of an operation whose document was found valid. Strawberry would enter and
        leave its extensions around it, of which there are none: a twelfth of the time of `placeOrder`."""
        name = operation.definition.name
        executed = execute(
            self.schema,
            operation.document,
            context_value=context,
            variable_values=cast(Any, variables),
            operation_name=None if name is None else name.value,
            executor_class=Execution,
            is_awaitable=cast(Any, optimized_is_awaitable),
            hide_suggestions=not context.settings.introspection,
            operation_extensions=None,
        )
        result: Any = await await_maybe(executed)
        if result.data is None and all(error.path is None for error in result.errors or ()):
            return PreExecutionError(data=None, errors=result.errors)  # such as variables that do not fit
        return ExecutionResult(data=result.data, errors=result.errors)


def _may_be_given_up(context: Context, reason: TimedOut | HungUp) -> bool:
    work: UnitOfWork = context.work
    return not (work.writes if isinstance(reason, HungUp) else work.is_settled)


def _replayed(context: Context, result: ExecutionResult) -> EncodedResult | None:
    """Return the response that the same request got before, if that is what its fields say; raise what else they say
    of the operation as a whole: faults of the database, and that a subscription has nothing to tell."""
    for error in result.errors or ():
        if context.following is not None:
            context.following.raise_not_now(error.original_error)
        if isinstance(error.original_error, Replay):
            return EncodedResult(data=None, errors=None, body=error.original_error.response, replayed=True)
        raise_fault(error.original_error)
    return None


async def _finish(context: Context, result: ExecutionResult) -> ExecutionResult:
    """Commit what the operation did, with the response where it is to be kept, and present its errors."""
    work = context.work
    result.extensions = context.extensions()
    if result.errors:
        result.errors = [presentable(error, context.request_id) for error in result.errors]
        if work.writes and any(is_internal(error) for error in result.errors):
            result.data = None
    try:
        if work.writes and result.data is not None and context.idempotent_request is not None:
            result = encode(result)
            await context.idempotent_request.keep(work.session, result.body)
        await work.finish(commit=result.data is not None)
        if context.explained is not None:
            result.extensions = {**(result.extensions or {}), "explain": explained(context.explained, RESOLVER)}
    except OutcomeUnknown:
        raise
    except Exception as failure:
        raise_fault(failure)
        error = presentable(GraphQLError(str(failure), original_error=failure), context.request_id)
        result = ExecutionResult(data=None, errors=[error])
    return result
