"""GraphQL over HTTP. A request is answered here, before the application's routing: on the compiled path if it can be,
else on the resolver path."""

from asyncio import CancelledError
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.db.engine import raise_fault
from app.errors import OutcomeUnknown, RequestError, Restarting
from app.graphql.compiled.path import CompiledPath
from app.graphql.http.answers import PRIVATE, Answer, answer_of, answer_to
from app.graphql.http.contexts import Contexts, Login
from app.graphql.http.protocol import (
    JSON,
    Accepted,
    Refusal,
    accepted,
    address_of,
    graphql_request,
    read_parameters,
    refusal_of,
    request_id_of,
)
from app.graphql.operations.cancellation import HungUp
from app.graphql.operations.documents import GraphQLRequest, RequestedOperation
from app.graphql.operations.executor import Executor
from app.graphql.operations.explain import explained
from app.graphql.operations.rate_limits import Quota
from app.graphql.operations.responses import extended, given_up
from app.monitoring import operation_log as reports
from app.monitoring.operation_log import COMPILED, Report
from app.settings import Settings
from app.web import graphiql

_HUNG_UP = "CLIENT_HUNG_UP"  # in the log alone

log = structlog.get_logger(__name__)


class _Exchange(NamedTuple):
    """What HTTP tells of the request for an operation."""

    request_id: str
    method: str
    headers: Headers
    accepts: Accepted
    media_type: str
    """Of the answer."""
    address: str
    receive: Receive
    """Tells where the client has hung up."""


class GraphQLEndpoint:
    """Stands before the application and answers the HTTP requests to its path; all else passes by, as it came."""

    def __init__(
        self,
        app: ASGIApp,
        path: str,
        executor: Executor,
        contexts: Contexts,
        streams: ASGIApp,
        settings: Settings,
        compiled: CompiledPath | None = None,
    ) -> None:
        self._app = app
        self._path = path
        self._executor = executor
        self._contexts = contexts
        self._streams = streams
        self._compiled = compiled
        self._has_page = settings.graphiql
        self._limit = settings.body_limit_kb * 1024
        self._monitor = contexts.monitor

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request, or pass it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        request_id = request_id_of(headers)
        if scope["path"] == self._path:
            await self._serve(scope, headers, request_id, receive, send)
        else:
            await self._app(scope, receive, _with_headers(send, request_id))

    async def _serve(
        self, scope: Scope, headers: Mapping[bytes, bytes], request_id: str, receive: Receive, send: Send
    ) -> None:
        """Find out what the client takes, read what it asks for, and answer that."""
        media_type = JSON
        try:
            accepts = accepted(scope["method"], headers.get(b"accept", b"*/*"), page=self._has_page)
            media_type = accepts.media_type or JSON
            if accepts.page:
                await graphiql.page()(scope, receive, _with_headers(send, request_id))
                return
            parameters = await read_parameters(scope, headers, receive, self._limit)
            request = graphql_request(parameters, self._contexts.documents.trusted)
            exchange = _Exchange(
                request_id, scope["method"], Headers(scope=scope), accepts, media_type, address_of(scope), receive
            )
            if self._is_streamed(exchange, request):
                scope.setdefault("state", {}).update(request_id=request_id, graphql_request=request)
                await self._streams(scope, receive, _with_headers(send, request_id))
            else:
                await self._answer(exchange, request, send)
        except (Refusal, RequestError) as failure:
            await answer_to(failure, media_type, request_id).send(send, media_type, request_id)
        except ClientDisconnect:
            pass

    def _is_streamed(self, exchange: _Exchange, request: GraphQLRequest) -> bool:
        """Tell whether the results are to be streamed, and told of there."""
        if not exchange.accepts.events:
            return False
        with suppress(Exception):  # whatever is wrong, the paths find it again, and say so
            operation = self._contexts.documents.requested(request)
            wants_stream = operation.is_subscription or exchange.accepts.events_first
            return wants_stream and refusal_of(exchange.method, exchange.accepts, operation) is None
        return False

    async def _answer(self, exchange: _Exchange, request: GraphQLRequest, send: Send) -> None:
        """Answer the operation in one of the paths, and tell of it."""
        report = reports.begin(exchange.request_id, request.operation_name)
        with self._monitor.span(report):
            answer = await self._answer_on_paths(exchange, request, report)
            report.path, report.codes, report.status = answer.path, answer.codes, answer.status
        await answer.send(send, exchange.media_type, exchange.request_id)
        self._monitor.tell(report)

    async def _answer_on_paths(self, exchange: _Exchange, request: GraphQLRequest, report: Report) -> Answer:
        """Return the answer of one of the paths, whatever goes wrong."""
        quota: Quota | None = None
        try:
            operation = self._contexts.documents.requested(request)
            report.describe(operation.definition, operation.cost)
            login = self._contexts.login(exchange.headers)
            report.act_for(login.viewer)
            quota = await self._contexts.rates.take(operation.points, login.viewer, exchange.address)
            if (refusal := refusal_of(exchange.method, exchange.accepts, operation)) is not None:
                raise refusal
            to_explain = report if self._contexts.explains(exchange.headers, login) else None
            answer = await self._answer_compiled(exchange, operation, login, to_explain)
            if answer is None:
                answer = await self._answer_ordinary(exchange, operation, login, to_explain)
        except HungUp:
            answer = Answer(b"", "given up", [_HUNG_UP])  # nobody receives it
        except Exception as failure:
            answer = answer_to(_fault(failure) or failure, exchange.media_type, exchange.request_id)
        return answer if quota is None else answer._replace(headers=[*answer.headers, *quota.headers()])

    async def _answer_compiled(
        self, exchange: _Exchange, operation: RequestedOperation, login: Login, to_explain: Report | None
    ) -> Answer | None:
        """Return the answer to a query, None where the resolver path must answer."""
        if self._compiled is None or not operation.is_query or operation.errors or login.refusal is not None:
            return None
        cost = {"cost": self._contexts.documents.told(operation.cost)}
        try:
            with self._contexts.watch.over(exchange.receive):
                body = await self._compiled.execute(login.viewer, operation)
        except HungUp:
            raise
        except (CancelledError, Exception) as failure:
            if (fault := _fault(failure)) is not None:
                return answer_of(given_up(fault, cost), exchange.media_type, COMPILED)
            # The resolver path may answer all the same, and if it cannot it says so as it always does.
            log.exception("compiled path failed", request_id=exchange.request_id)
            return None
        if body is None:
            return None
        explain = {} if to_explain is None else {"explain": explained(to_explain, COMPILED)}
        return Answer(extended(body, **cost, **explain), COMPILED)

    async def _answer_ordinary(
        self, exchange: _Exchange, operation: RequestedOperation, login: Login, to_explain: Report | None
    ) -> Answer:
        """Return the answer of the resolver path."""
        context = self._contexts.context(login, exchange.request_id, exchange.address, to_explain)
        context.receive = exchange.receive
        self._contexts.make_idempotent(context, exchange.headers, operation.request)
        try:
            result = await self._executor.execute(context, operation)
        except CancelledError:
            fault = OutcomeUnknown() if context.work.is_settled else Restarting()
            result = given_up(fault, context.extensions())
        return answer_of(result, exchange.media_type)


def _fault(failure: BaseException) -> RequestError | None:
    """Return what clients are told of a failure of the database; None where it is another one."""
    if isinstance(failure, CancelledError):
        return Restarting()  # who cancels requests is the server, when its grace is over
    try:
        raise_fault(failure)
    except RequestError as fault:
        return fault
    return None


def _with_headers(send: Send, request_id: str) -> Send:
    """Return what sends a response with the headers that each has, unless it brings its own."""

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["x-request-id"] = request_id
            for name, value in PRIVATE:
                headers.setdefault(name.decode(), value.decode())
        await send(message)

    return send_with_headers
