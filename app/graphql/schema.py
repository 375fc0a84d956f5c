"""The schema: its root types as a table of contents, and how one operation is executed."""

from asyncio import CancelledError, Future, gather
from collections.abc import AsyncGenerator, Awaitable, Container, Iterable, Mapping, Sequence
from typing import Annotated, Any, cast
from uuid import UUID

import orjson
import strawberry
from graphql import (
    FieldNode,
    GraphQLError,
    OperationDefinitionNode,
    build_schema,
    execute,
    lexicographic_sort_schema,
    print_schema,
)
from stamina import retry_context
from strawberry.exceptions import MissingQueryError
from strawberry.execution import optimized_is_awaitable
from strawberry.schema.config import StrawberryConfig
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types import ExecutionResult
from strawberry.types.execution import PreExecutionError
from strawberry.types.graphql import OperationType
from strawberry.utils.await_maybe import await_maybe
from strawberry.utils.str_converters import to_camel_case

from app.audit.resolvers import AuditQueries
from app.audit.types import AuditEntry
from app.database import raise_fault
from app.errors import (
    BadUserInput,
    DatabaseUnavailable,
    OutcomeUnknown,
    Overloaded,
    RateLimited,
    RequestError,
    TimedOut,
    TransactionConflict,
)
from app.graphql import live
from app.graphql.cancellation import HungUp, undisturbed
from app.graphql.compiled.meaning import Nodes, in_sql
from app.graphql.context import Context, Info
from app.graphql.errors import HANDLERS, is_internal, presentable
from app.graphql.execution import Execution
from app.graphql.ids import parse_global_id
from app.graphql.loaders import NODES
from app.graphql.node import Node
from app.graphql.rereading import rereading
from app.graphql.responses import EncodedResult, encode
from app.graphql.scalars import SCALARS
from app.idempotency.service import Replay
from app.monitoring import reports
from app.monitoring.reports import Report
from app.orders.resolvers import OrderMutations, OrderQueries, OrderSubscriptions
from app.orders.types import OrderItem
from app.pagination import MAX_PAGE_SIZE
from app.products.resolvers import ProductMutations, ProductQueries, ProductSubscriptions
from app.stores.resolvers import StoreMutations, StoreQueries
from app.users.resolvers import UserMutations, UserQueries

_FAULTS = (TransactionConflict, TimedOut, Overloaded, DatabaseUnavailable, OutcomeUnknown)
# After the first attempt, up to four more.
_RETRIES: dict[str, Any] = {"attempts": 4, "wait_initial": 0.01, "wait_max": 0.2, "wait_jitter": 0.02}


_BY_KEY = {name: visible.by_key for name, visible in NODES.items()}


def _node_key(argument: str, id: str) -> tuple[str, UUID]:
    """Return the type's name and the key of what can be looked up; BadUserInput where nothing of the kind can be."""
    type_name, key = parse_global_id(argument, id)
    if type_name not in NODES:
        raise BadUserInput(argument, "is not an id of this API")
    return type_name, key


def _node_keys(ids: Sequence[str]) -> list[tuple[str, UUID]]:
    """Return the names and keys of many; BadUserInput where they are too many."""
    if len(ids) > MAX_PAGE_SIZE:
        raise BadUserInput("ids", f"must have at most {MAX_PAGE_SIZE}, not {len(ids)}")
    return [_node_key(f"ids.{index}", id) for index, id in enumerate(ids)]


def _load(context: Context, type_name: str, key: UUID) -> Future[Node | None]:
    """Load what has this key, if the viewer may see it."""
    return context.loaders.visible(NODES[type_name]).load(key)


@strawberry.type
class NodeQueries:
    @strawberry.field(
        description="Anything by its id; null where there is none, or it is not yours to see.",
        metadata=in_sql(Nodes(_BY_KEY, lambda id: [_node_key("id", id)])),
    )
    async def node(
        self,
        info: Info,
        id: Annotated[strawberry.ID, strawberry.argument(description="The global id.")],
    ) -> Node | None:
        return await _load(info.context, *_node_key("id", id))

    @strawberry.field(
        description="Many things by their ids, up to 100, each in its place; null where there is none.",
        metadata=in_sql(Nodes(_BY_KEY, _node_keys)),
    )
    async def nodes(
        self,
        info: Info,
        ids: Annotated[list[strawberry.ID], strawberry.argument(description="The global ids.")],
    ) -> list[Node | None]:
        return await gather(*(_load(info.context, *key) for key in _node_keys(ids)))


@strawberry.type(
    description=(
        "What can be read. An operation costs a point for each object that it may return: a page as many as it may "
        "have, the items of an order ten, a `totalCount` ten more. `extensions.cost` of the response tells how many."
    )
)
class Query(NodeQueries, UserQueries, StoreQueries, ProductQueries, OrderQueries, AuditQueries):
    pass


@strawberry.type(
    description=(
        "What can be changed. One request is one transaction: its fields run one after the other, and a field "
        "that fails leaves nothing behind while the others stand. Each costs ten points, and what is selected of it."
    )
)
class Mutation(UserMutations, StoreMutations, ProductMutations, OrderMutations):
    pass


@strawberry.type(
    description=(
        "What can be followed, over websockets (graphql-transport-ws) and server-sent events. An event is what is so "
        "when it is sent: of changes in quick succession the last is sent for sure."
    )
)
class Subscription(ProductSubscriptions, OrderSubscriptions):
    pass


class Schema(strawberry.Schema):
    """The schema of the Orders API. One execution is one unit of work."""

    async def stream(self, *args: Any, **kwargs: Any) -> Any:
        """Return the results of an operation, one after the other: of a subscription as long as it lasts."""
        (query,), context = args, kwargs["context_value"]
        variables, name = kwargs.get("variable_values"), kwargs.get("operation_name")
        report = reports.begin(context.request_id, name)
        report.act_for(context.token_viewer)
        document = context.documents.read(query)
        operation = document.operation(name)
        try:
            await context.take_points(context.documents.points(operation, variables))
        except RateLimited as refusal:
            return _refusal(refusal)
        if operation is None or not operation.is_subscription:
            executed = self._traced(report, query, kwargs)
            if operation is not None and operation.is_mutation:  # one that has begun is done, whoever still listens
                executed = undisturbed(executed)
            return context.monitor.told(_single_result(executed), report)
        again = rereading(document.ast, operation.definition, _read_by(operation.definition))

        async def execute() -> ExecutionResult:
            context.begin()
            if again is not None and context.is_following:
                with context.monitor.span(report):
                    result = await again.read(context, variables, name)
                if result is not None:
                    return result
                context.begin()
            return encode(await self._traced(report, query, kwargs))

        try:
            key = (query, name, orjson.dumps(variables, option=orjson.OPT_SORT_KEYS))
        except orjson.JSONEncodeError:
            refused = _refusal(BadUserInput("variables", "are nested too deeply"))
            return context.monitor.told(refused, report)
        return context.monitor.told(live.results(context, key, execute), report)

    async def _traced(self, report: Report, query: str | None, kwargs: Any) -> ExecutionResult:
        with kwargs["context_value"].monitor.span(report):
            return await self.execute(query, **kwargs)

    async def execute(self, *args: Any, **kwargs: Any) -> ExecutionResult:
        """Execute an operation. A mutation is committed before this returns; where it has no data, or something
        unforeseen went wrong, it is undone: Postgres may have given up the transaction, and would commit nothing.

        Where Postgres ended a mutation because another stood in its way, it is executed again, a few times. What
        takes too long is given up, and so is what nobody waits for, unless it is a mutation that has begun."""
        context: Context = kwargs["context_value"]
        (query,) = args
        allowed = _allowed(context, kwargs.get("allowed_operation_types"))
        refused = _refused(context, query, kwargs.get("operation_name"), kwargs.get("variable_values"), allowed)
        if refused is not None:
            return refused

        def may_give_up(reason: TimedOut | HungUp) -> bool:
            work = context.work
            return not (work.writes if isinstance(reason, HungUp) else work.is_settled)

        try:
            with context.watch.over(context.receive, may_give_up):
                return await self._execute_again_and_again(context, query, kwargs)
        except _FAULTS as fault:
            error = presentable(GraphQLError(str(fault), original_error=fault), context.request_id)
            return ExecutionResult(data=None, errors=[error], extensions=context.extensions())

    async def _execute_again_and_again(self, context: Context, query: str, kwargs: Any) -> ExecutionResult:
        try:
            return await self._execute_once(context, query, kwargs)
        except TransactionConflict:
            async for attempt in retry_context(on=TransactionConflict, **_RETRIES):
                with attempt:
                    context.begin()
                    return await self._execute_once(context, query, kwargs)
        raise AssertionError("an attempt returns or raises")

    async def _execute_once(self, context: Context, query: str, kwargs: Any) -> ExecutionResult:
        work = context.work
        try:
            result = await self._executed(context, query, kwargs)
            for error in result.errors or ():
                if context.following is not None:
                    live.raise_not_now(error.original_error)
                if isinstance(error.original_error, Replay):
                    return EncodedResult(data=None, errors=None, body=error.original_error.response, replayed=True)
                raise_fault(error.original_error)
            if result.data is None and all(error.path is None for error in result.errors or ()):
                result = PreExecutionError(data=None, errors=result.errors)  # such as variables that do not fit
            return await self._finish(context, result)
        except CancelledError:
            work.cancel()
            await undisturbed(work.close())  # a stream is cancelled again and again, until it has ended
            raise
        finally:
            await work.close()

    async def _executed(self, context: Context, query: str, kwargs: Any) -> ExecutionResult:
        """Return what graphql-core makes of an operation whose document was found valid. Strawberry would enter and
        leave its extensions around it, of which there are none: a twelfth of the time of `placeOrder`."""
        document = context.documents.read(query).ast
        assert document is not None, "it was found valid"
        executed = execute(
            self._schema,
            document,
            root_value=kwargs.get("root_value"),
            context_value=context,
            variable_values=kwargs.get("variable_values"),
            operation_name=kwargs.get("operation_name"),
            executor_class=Execution,
            is_awaitable=cast(Any, optimized_is_awaitable),
            hide_suggestions=not context.settings.introspection,
            operation_extensions=None,
        )
        result: Any = await await_maybe(executed)
        return ExecutionResult(data=result.data, errors=result.errors)

    async def _finish(self, context: Context, result: ExecutionResult) -> ExecutionResult:
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
            if context.explanation is not None:
                result.extensions = {**(result.extensions or {}), "explain": context.explanation.shown()}
        except OutcomeUnknown:
            raise
        except Exception as failure:
            raise_fault(failure)
            error = presentable(GraphQLError(str(failure), original_error=failure), context.request_id)
            result = ExecutionResult(data=None, errors=[error])
        return result

    def process_errors(self, errors: list[Any], execution_context: Any = None) -> None:
        """Log nothing here: `presentable` logs what was not foreseen, once."""


def _allowed(context: Context, wanted: Iterable[OperationType] | None) -> set[OperationType]:
    """Return those of the wanted kinds of operations that may run: subscriptions where their results are streamed."""
    others = set() if context.following else {OperationType.SUBSCRIPTION}
    return set(OperationType if wanted is None else wanted) - others


def _refused(
    context: Context,
    query: str | None,
    name: str | None,
    variables: Mapping[str, Any] | None,
    allowed: Container[OperationType],
) -> ExecutionResult | None:
    """Return the result of what must not be executed, None where it may; MissingQueryError or
    CannotGetOperationTypeError where there is nothing that could be, InvalidOperationTypeError where it cannot be sent
    like this."""
    if not query:
        raise MissingQueryError
    documents = context.documents
    document = documents.read(query)
    if document.errors:
        return PreExecutionError(data=None, errors=list(document.errors))
    operation = document.operation(name)
    if operation is None:
        raise CannotGetOperationTypeError(name)
    context.cost = operation.cost(variables)
    reports.describe(operation.definition, context.cost)
    if (kind := OperationType(operation.definition.operation.value)) not in allowed:
        raise InvalidOperationTypeError(kind)
    refusal = documents.refusal(context.cost)
    if refusal is None:
        return None
    return PreExecutionError(data=None, errors=[refusal], extensions=context.extensions())


def _read_by(operation: OperationDefinitionNode) -> str | None:
    """Return the field of Query that reads what a subscription tells, if there is one."""
    selected = operation.selection_set.selections[0]
    fields = Subscription.__strawberry_definition__.fields  # type: ignore[attr-defined]  # set by its decorator
    reads = {to_camel_case(field.python_name): field.metadata.get(live.READ_BY) for field in fields}
    return reads.get(selected.name.value) if isinstance(selected, FieldNode) else None


async def _single_result(executed: Awaitable[ExecutionResult]) -> AsyncGenerator[ExecutionResult]:
    """Yield the result of what is no subscription, or cannot be told."""
    try:
        yield await executed
    except (MissingQueryError, CannotGetOperationTypeError, InvalidOperationTypeError):
        yield no_operation()


async def _refusal(refusal: RequestError) -> AsyncGenerator[ExecutionResult]:
    """Yield the result of what is not begun."""
    yield PreExecutionError(data=None, errors=[GraphQLError(str(refusal), extensions=refusal.extensions)])


def no_operation() -> PreExecutionError:
    """Return the result of what names no operation to execute."""
    message = "There is no such operation in the document, or it cannot be sent like this."
    return PreExecutionError(data=None, errors=[GraphQLError(message, extensions={"code": "BAD_USER_INPUT"})])


schema = Schema(
    query=Query,
    mutation=Mutation,
    subscription=Subscription,
    types=[OrderItem, AuditEntry],
    config=StrawberryConfig(scalar_map=SCALARS),
    exception_handlers=HANDLERS,
    execution_context_class=Execution,
)


def schema_sdl() -> str:
    """Return the schema as text, sorted, as client teams generate code from it."""
    return print_schema(lexicographic_sort_schema(build_schema(schema.as_str()))) + "\n"
