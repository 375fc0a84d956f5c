"""The life of an operation, whatever transport carries it: parse it and determine its cost, find out who asks, take its
cost from their rate limit, execute it on one of the two paths, report it."""

from asyncio import CancelledError
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable, Mapping
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Any

import orjson
import structlog
from graphql import OperationType

from app.clients import Client
from app.db.engine import FAULTS, is_disconnection, raise_fault
from app.db.pool_queue import SHARES
from app.errors import BadUserInput, OutcomeUnknown, ResponseTooLarge, Restarting, TooManyValues, Unauthenticated
from app.graphql.compiled.path import Answer, Read
from app.graphql.context import Context
from app.graphql.operations.cancellation import Disconnected, undisturbed
from app.graphql.operations.cost import NOTHING, RESOLVED_VALUES_OF_POINT
from app.graphql.operations.documents import GraphQLRequest, OperationRequest, RequestedOperation
from app.graphql.operations.rate_limits import Quota
from app.graphql.operations.resolver_path import ResolverPath
from app.graphql.operations.responses import Response, completed, encoded, error_of, failed, given_up
from app.graphql.operations.root_fields import ignores_token, is_replayable
from app.graphql.operations.services import Services
from app.graphql.subscriptions.manager import Unreachable
from app.monitoring import operation_log
from app.monitoring.monitor import explanation
from app.monitoring.operation_log import COMPILED, RESOLVER, OperationLog
from app.security.tokens import NOBODY
from app.security.viewer import Viewer
from app.settings import Environment

# Nobody receives this response; only the log has the code.
_DISCONNECTED = Response(b"", "disconnected", codes=["CLIENT_DISCONNECTED"])

log = structlog.get_logger(__name__)


class Operation:
    """One operation, and what has become known of it so far."""

    def __init__(self, services: Services, request: OperationRequest) -> None:
        self.log = operation_log.begin(request.id, request.document.operation_name, request.client_request_id)
        self._services = services
        self._request = request
        self._login = NOBODY
        self._quota: Quota | None = None
        self._extensions: Mapping[str, Any] = {}
        self._context: Context | None = None

    async def answer(self, deliver: Callable[[Response], Awaitable[int]]) -> None:
        """Execute an operation that has one response, and deliver that; `deliver` returns its status."""
        with self._services.monitor.span(self.log):
            response = await self._respond()
            self.log.path, self.log.codes = response.path, response.codes
        self.log.status = await deliver(response)
        self._services.monitor.report(self.log)

    async def stream(self) -> AsyncGenerator[Response]:
        """Execute an operation and yield its response: of a subscription one after each event, until it ends.

        Restarting if the process ends: the transport then lets the client connect again."""
        self.log.results = 0
        try:
            async with aclosing(self._responses()) as responses:
                async for response in responses:
                    self.log.results += 1
                    self.log.path, self.log.codes = response.path, response.codes
                    yield response
        finally:
            self._services.monitor.report(self.log)

    async def _respond(self) -> Response:
        """Return the one response, whatever goes wrong. Only the server cancels a request, when it stops."""
        try:
            response = await self._executed(await self._admitted())
        except Disconnected:
            return _DISCONNECTED
        except CancelledError:
            is_settled = self._context is not None and self._context.work.is_settled
            response = given_up(OutcomeUnknown() if is_settled else Restarting(), self._extensions, self.log.path)
        except Exception as failure:
            response = failed(failure, self._request.id)
        return response if self._quota is None else response._replace(quota=self._quota)

    async def _responses(self) -> AsyncGenerator[Response]:
        """Yield each response, whatever goes wrong."""
        try:
            operation = await self._admitted()
            if operation.type is not OperationType.SUBSCRIPTION or operation.errors:
                executing = self._traced(operation)
                # A mutation that has begun is completed, whether or not anybody still listens.
                yield await (undisturbed(executing) if operation.type is OperationType.MUTATION else executing)
                return
            async with aclosing(self._followed(operation)) as responses:
                async for response in responses:
                    yield response
        except Restarting:
            raise
        except Exception as failure:
            yield failed(failure, self._request.id)

    async def _admitted(self) -> RequestedOperation:
        """Parse the document, determine its cost, find out who asks, and take the cost from their rate limit."""
        services, request = self._services, self._request
        operation = request.operation or services.documents.requested(request.document)
        if operation.parsed is not None:
            self.log.type, self.log.name = operation.parsed.type.value, operation.parsed.name or ""
        if request.authorization is not None:
            operation = self._identified(operation, request.authorization)
        if operation.cost is not None:
            self.log.cost = operation.cost.points
            self._extensions = {"cost": {"requested": self.log.cost, "limit": operation.limit}}
        writes = operation.type is OperationType.MUTATION
        SHARES.set(services.shares.of(self._login.viewer, request.address, operation.cost or NOTHING, writes=writes))
        if services.settings.rate_limit:
            self._quota = await services.rate_limits.take(operation.points, self._login.viewer, request.address)
        request.check(operation)
        return operation

    def _identified(self, operation: RequestedOperation, authorization: str) -> RequestedOperation:
        """Find out who asks. With an invalid token, an operation must not be executed unless it ignores tokens."""
        try:
            self._login = self._services.access_tokens.login(authorization)
        except Unauthenticated as failure:
            if operation.errors or operation.parsed is None or ignores_token(self._services.schema, operation.parsed):
                return operation
            return operation._replace(errors=(error_of(failure),))
        self.log.viewer_id = self._login.viewer.id if self._login.viewer else None
        return operation

    async def _executed(self, operation: RequestedOperation) -> Response:
        """Execute the operation on the compiled path, or else on the resolver path."""
        if operation.errors:
            return encoded(None, operation.errors, self._extensions, is_executed=False)
        assert operation.parsed is not None, "otherwise there are errors"
        if operation.parsed.is_about_schema:
            self._require_few_values(operation)
            return self._of_fit_size(await self._introspected(operation))
        explain = self.log if self._is_explained() else None
        if operation.type is OperationType.QUERY:
            self.log.path = COMPILED
            try:
                with self._services.watch.over(self._request.receive):
                    answer = await self._compiled(self._login.viewer, operation, self._reading())
            except FAULTS as fault:
                return given_up(fault, self._extensions, COMPILED)
            if answer is not None:
                extensions = self._extensions
                if explain is not None:
                    extensions = {**extensions, "explain": explanation(explain)}
                return self._of_fit_size(completed(answer.data, answer.errors, extensions))
            self.log.path = RESOLVER
        self._require_few_values(operation)
        response = await self._resolved(operation, explain)
        return self._of_fit_size(response) if operation.type is OperationType.QUERY else response

    async def _resolved(self, operation: RequestedOperation, explain: OperationLog | None = None) -> Response:
        """Return the response of the resolver path."""
        request = self._request
        assert operation.parsed is not None, "it is valid"
        if request.idempotency_key is not None and not is_replayable(self._services.schema, operation.parsed):
            request = request._replace(idempotency_key=None)
        self._context = context = Context(self._services, self._login, request, operation)
        response = await ResolverPath(context, self._extensions, explain).execute()
        if operation.type is OperationType.MUTATION:
            for user in (self._login.viewer, context.viewer):  # who asked, and who has logged in
                self._services.replicas.note_written(user, context.work.may_be_written)
        return response

    async def _introspected(self, operation: RequestedOperation) -> Response:
        """Return what an operation reads of the schema, which is the same each time."""
        assert operation.parsed is not None, "it has fields"
        known, key = self._services.introspections, (operation.parsed, _key(operation.request))
        if (response := known.find(key)) is None:
            response = await self._resolved(operation)
            if not response.errors:
                known.add(key, response, len(response.body))
        return response

    def _require_few_values(self, operation: RequestedOperation) -> None:
        """Raise TooManyValues if the resolver path would keep others waiting for long, or the operation would exceed
        its limit with the points that the values stand for."""
        assert operation.cost is not None, "it is valid"
        values, left = operation.cost.values, operation.limit - operation.cost.points
        limit = min(self._services.settings.value_limit, left * RESOLVED_VALUES_OF_POINT)
        if values > limit:
            raise TooManyValues(values, limit, self._why_not_compiled(operation))

    def _why_not_compiled(self, operation: RequestedOperation) -> str:
        """Return why the operation isn't compiled, for the client; may quote what it sent."""
        if operation.type is not OperationType.QUERY:
            return "only queries are"
        if operation.parsed is not None and operation.parsed.is_about_schema:
            return "introspection never is"
        if self._services.compiled is None:
            return "COMPILED_PATH is off"
        return self.log.declined or "compiling it failed"

    def _of_fit_size(self, response: Response) -> Response:
        """Return the response, or an error in place of one over the limit."""
        limit = self._services.settings.response_limit
        if len(response.body) <= limit:
            return response
        return given_up(ResponseTooLarge(limit), self._extensions, response.path)

    async def _traced(self, operation: RequestedOperation) -> Response:
        """Execute the operation within a span of its own."""
        with self._services.monitor.span(self.log):
            return await self._executed(operation)

    def _reading(self) -> Read | None:
        """Return what reads from a replica; None if there are none."""
        replicas = self._services.replicas
        return replicas.reading(self._login.viewer, self._request.consistency_tokens).row if replicas else None

    async def _compiled(
        self, viewer: Viewer | None, operation: RequestedOperation, read: Read | None = None
    ) -> Answer | None:
        """Return the response of the compiled path; None if the resolver path must answer. Raise the database's
        faults; after any other failure the resolver path may still answer, and reports what is wrong if it cannot."""
        compiled = self._services.compiled
        if compiled is None:
            return None
        try:
            return await compiled.execute(viewer, operation, self._in_turn, read)
        except Exception as failure:
            raise_fault(failure)
            log.exception("compiled path failed", request_id=self._request.id)
            return None

    def _in_turn(self, viewer: Viewer | None) -> AbstractAsyncContextManager[None]:
        """Wait for the client's turn to compile a document."""
        return self._services.documents.turn(Client.of(viewer, self._request.address))

    def _followed(self, operation: RequestedOperation) -> AsyncGenerator[Response]:
        """Return the responses of a subscription."""
        assert operation.parsed is not None, "it is a subscription"
        self._require_few_values(operation)
        context = Context(self._services, self._login, self._request, operation)
        resolver_path = ResolverPath(context)

        async def read() -> Response:
            with self._services.monitor.span(self.log):
                context.begin()
                if context.following is not None and context.following.subscription is not None:
                    answer = await self._reread(context, operation)
                    if answer is not None:
                        self.log.path = COMPILED
                        return Response(answer.data, COMPILED)
                    context.begin()
                self.log.path = RESOLVER
                return await resolver_path.execute()

        def pay() -> Awaitable[Quota | None]:
            return self._services.rate_limits.take(operation.points, self._login.viewer, self._request.address)

        is_limited = bool(self._services.settings.rate_limit)
        key = _key(self._request.document)
        return self._services.subscriptions.responses(context, key, read, pay if is_limited else None)

    async def _reread(self, context: Context, operation: RequestedOperation) -> Answer | None:
        """Return the current state of what a subscription follows, for the viewer as they are now; None if the resolver
        path must answer: also where the viewer can no longer see it, as that path says why."""
        if self._services.compiled is None:
            return None
        try:
            try:
                await context.begin_field()
            finally:
                await context.work.close()
            answer = await self._compiled(context.viewer, operation)
        except Unauthenticated:
            return None
        except Exception as failure:
            if is_disconnection(failure):
                raise Unreachable from failure
            raise
        return None if answer is None or answer.is_nothing else answer

    def _is_explained(self) -> bool:
        """Return whether the response explains itself: to superusers, and to anyone in development, on request."""
        viewer, environment = self._login.viewer, self._services.settings.app_env
        may_see = environment is Environment.DEVELOPMENT or (viewer is not None and viewer.is_superuser)
        return self._request.explain and may_see


def _key(document: GraphQLRequest) -> Hashable:
    """Return a key that is equal for those who are sent the same; BadUserInput if variables are nested too deeply."""
    try:
        # As text, which takes no more than it needs: a subscription keeps it.
        variables = orjson.dumps(document.variables, option=orjson.OPT_SORT_KEYS).decode()
    except orjson.JSONEncodeError:
        raise BadUserInput("variables", "are nested too deeply") from None
    return document.query, document.operation_name, variables
