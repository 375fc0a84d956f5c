"""GraphQL over HTTP. A request is answered here, before the application's routing: in the compiled lane if it can be,
else in the ordinary one. Strawberry's view is left what streams: server-sent events and websockets."""

from asyncio import CancelledError
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from datetime import timedelta
from typing import Any, NamedTuple, cast

import orjson
import structlog
from cross_web import AsyncHTTPRequestAdapter, HTTPException, StarletteRequestAdapter
from graphql import GraphQLError
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.http import GraphQLHTTPResponse, GraphQLRequestData
from strawberry.http.base import BaseRequestProtocol
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.subscriptions import GRAPHQL_SSE_PROTOCOL, GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.types import ExecutionResult
from strawberry.types.execution import PreExecutionError
from strawberry.types.graphql import OperationType

from app.database import raise_fault
from app.errors import OutcomeUnknown, RateLimited, RequestError, Restarting, Unauthenticated
from app.graphql import graphiql
from app.graphql.cancellation import HungUp
from app.graphql.compiled.lane import CompiledLane
from app.graphql.context import Context
from app.graphql.errors import is_internal, presentable
from app.graphql.explain import Explanation
from app.graphql.live import Live
from app.graphql.protocol import (
    JSON,
    RESPONSE_JSON,
    RawHeaders,
    Refusal,
    accepted,
    method_not_allowed,
    operation_in,
    read_request,
    request_id_of,
    require_events,
)
from app.graphql.rates import Quota
from app.graphql.requests import Contexts, Operation
from app.graphql.responses import EncodedResult, encode, extended, response_of
from app.graphql.schema import Schema, no_operation
from app.graphql.sockets import Handshake, Socket, connection_class
from app.monitoring import reports
from app.monitoring.monitor import codes_of
from app.monitoring.reports import Report
from app.settings import Settings

_HUNG_UP = "CLIENT_HUNG_UP"  # in the log alone
_INIT_WAIT = timedelta(seconds=10)
_SENT_BY = {"GET": OperationType.from_http("GET"), "POST": OperationType.from_http("POST")}
_CONTENT_TYPES = {name: (b"content-type", f"{name}; charset=utf-8".encode()) for name in (JSON, RESPONSE_JSON)}
_PRIVATE = [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]

log = structlog.get_logger(__name__)


class _Answer(NamedTuple):
    """The response to an operation, and what the log tells of it."""

    body: bytes
    lane: str = ""
    codes: Sequence[Any] = ()
    status: int = 200
    headers: RawHeaders = ()


class _Request(NamedTuple):
    """What HTTP tells of an operation that is to be executed."""

    id: str
    method: str
    headers: Headers
    media_type: str
    address: str
    receive: Receive
    """Tells where the client has hung up."""


class GraphQLEndpoint:
    """Stands before the application and answers the HTTP requests to its path; all else passes by, as it came."""

    def __init__(
        self,
        app: ASGIApp,
        path: str,
        schema: Schema,
        contexts: Contexts,
        streams: ASGIApp,
        settings: Settings,
        lane: CompiledLane | None = None,
    ) -> None:
        self._app = app
        self._path = path
        self._schema = schema
        self._contexts = contexts
        self._streams = streams
        self._lane = lane
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
            parameters = await read_request(scope, headers, receive, self._limit)
            operation = operation_in(parameters, self._contexts.documents.trusted)
            request = _Request(request_id, scope["method"], Headers(scope=scope), media_type, _address(scope), receive)
            if accepts.events_first or not await self._answer(request, operation, send):
                require_events(accepts)
                scope.setdefault("state", {}).update(request_id=request_id, operation=operation)
                await self._streams(scope, receive, _with_headers(send, request_id))
        except Refusal as refusal:
            answer = _Answer(refusal.body, status=refusal.status, headers=refusal.headers)
            await _send_json(send, answer, media_type, request_id)
        except RateLimited as refusal:
            await _send_json(send, _answer_of_limit(refusal, media_type), media_type, request_id)
        except RequestError as failure:
            error = GraphQLError(str(failure), extensions=failure.extensions)
            await _send_json(send, _answer_of(PreExecutionError(None, [error]), media_type), media_type, request_id)
        except ClientDisconnect:
            pass

    async def _answer(self, request: _Request, operation: Operation, send: Send) -> bool:
        """Answer the operation in one of the lanes; False where it is a subscription, whose results are a stream."""
        report = reports.begin(request.id, operation.name)
        try:
            with self._monitor.span(report):
                answer = await self._answered(request, operation, report)
        except Refusal as refusal:
            report.status = refusal.status
            self._monitor.tell(report)
            raise
        except RateLimited as refusal:
            report.codes, report.status = (refusal.code,), 429
            self._monitor.tell(report)
            raise
        if answer is None:
            return False
        await _send_json(send, answer, request.media_type, request.id)
        self._monitor.tell(report)
        return True

    async def _answered(self, request: _Request, operation: Operation, report: Report) -> _Answer | None:
        """Return the answer of one of the lanes, whatever goes wrong; None to a subscription."""
        explanation = self._contexts.explanation(request.headers)
        quota: Quota | None = None
        try:
            quota = await self._take_points(request, operation)
            answer = await self._compiled(request, operation, report, explanation)
            if answer is None:
                answer = await self._executed(request, operation, report, explanation)
        except (Refusal, RateLimited):
            raise
        except HungUp:
            answer = _Answer(b"", "given up", [_HUNG_UP])  # nobody receives it
        except Exception as failure:
            cause = _fault(failure) or failure
            error = presentable(GraphQLError(str(cause), original_error=cause), request.id)
            answer = _answer_of(PreExecutionError(data=None, errors=[error]), request.media_type)
        if answer is None:
            return None
        report.lane, report.codes, report.status = answer.lane, answer.codes, answer.status
        return answer if quota is None else answer._replace(headers=[*answer.headers, *quota.headers()])

    async def _take_points(self, request: _Request, operation: Operation) -> Quota | None:
        """Take the cost of the operation from who asks, and return what they have left; RateLimited where that is not
        enough. What is streamed is counted there."""
        contexts = self._contexts
        if not contexts.rates.limit_points:
            return None
        parsed = contexts.documents.read(operation.query or "").operation(operation.name)
        if parsed is not None and parsed.is_subscription:
            return None
        points = contexts.documents.points(parsed, operation.variables)
        return await contexts.rates.take(points, contexts.asking(request.headers), request.address)

    async def _compiled(
        self, request: _Request, operation: Operation, report: Report, explanation: Explanation | None
    ) -> _Answer | None:
        """Return the answer to a query, None where the ordinary lane must answer."""
        documents = self._contexts.documents
        parsed = documents.read(operation.query).operation(operation.name) if operation.query else None
        if (
            self._lane is None
            or parsed is None
            or not parsed.is_query
            or documents.refusal(cost := parsed.cost(operation.variables))
        ):
            return None
        try:
            viewer = self._contexts.viewer(request.headers)
            report.act_for(viewer)
            report.describe(parsed.definition, cost)
            with self._contexts.watch.over(request.receive):
                body = await self._lane.execute(viewer, parsed, operation.variables, explanation)
        except Unauthenticated:
            return None
        except HungUp:
            raise
        except (CancelledError, Exception) as failure:
            if (fault := _fault(failure)) is not None:
                result = _given_up(fault, {"cost": documents.told(cost)})
                return _answer_of(result, request.media_type)._replace(lane="compiled")
            # The ordinary lane may answer all the same, and if it cannot it says so as it always does.
            log.exception("compiled lane failed", request_id=request.id)
            return None
        if body is None:
            return None
        explained = {} if explanation is None else {"explain": explanation.shown()}
        return _Answer(extended(body, cost=documents.told(cost), **explained), "compiled")

    async def _executed(
        self, request: _Request, operation: Operation, report: Report, explanation: Explanation | None
    ) -> _Answer | None:
        """Return the answer of the ordinary lane, None to a subscription."""
        context = self._contexts.context(request.headers, request.id, request.address, explanation)
        context.receive = request.receive
        report.act_for(context.token_viewer)
        self._contexts.make_idempotent(context, request.headers, operation)
        try:
            result = await self._schema.execute(
                operation.query,
                variable_values=operation.variables,
                context_value=context,
                operation_name=operation.name,
                allowed_operation_types=_SENT_BY[request.method],
            )
        except CannotGetOperationTypeError:
            result = no_operation()
        except InvalidOperationTypeError as refused:
            if refused.operation_type is OperationType.SUBSCRIPTION:
                return None
            raise method_not_allowed("POST") from None
        except CancelledError:
            fault = OutcomeUnknown() if context.work.is_settled else Restarting()
            result = _given_up(fault, context.extensions())
        return _answer_of(result, request.media_type)


class _StreamRequest(StarletteRequestAdapter):
    """A request whose operation has been read."""

    @property
    def operation(self) -> Operation:
        """What it asks for."""
        operation: Operation = self._request.state.operation
        return operation


class GraphQLView(GraphQL[Any, None]):
    """Strawberry's view: websockets, and streams of events."""

    request_adapter_class = _StreamRequest
    websocket_adapter_class = Socket

    def __init__(self, schema: Schema, contexts: Contexts, live: Live, settings: Settings) -> None:
        super().__init__(
            schema,
            graphql_ide=None,
            subscription_protocols=(GRAPHQL_TRANSPORT_WS_PROTOCOL, GRAPHQL_SSE_PROTOCOL),
            connection_init_wait_timeout=_INIT_WAIT,
            allowed_origins=[origin for origin in settings.websocket_origins.split(",") if origin],
        )
        self.graphql_transport_ws_handler_class = connection_class(live, settings, contexts.documents.trusted)
        self._contexts = contexts

    async def get_context(self, request: Request | WebSocket, response: Response | WebSocket) -> Context | Handshake:
        """Return what the operation works with, or each operation on a websocket is given."""
        if isinstance(request, WebSocket):
            return Handshake(request.headers, _address(request.scope), self._contexts.context)
        return self._contexts.context(request.headers, request.state.request_id, _address(request.scope))

    async def parse_http_body(self, request: AsyncHTTPRequestAdapter) -> GraphQLRequestData:
        """Return what the request asks for, which has been read."""
        assert isinstance(request, _StreamRequest), "that is the class of the view's requests"
        query, variables, name = request.operation
        return GraphQLRequestData(query, variables, name, extensions=None, protocol="sse")

    async def execute_operation(
        self,
        request: Request,
        request_adapter: AsyncHTTPRequestAdapter,
        request_data: GraphQLRequestData | list[GraphQLRequestData],
        context: Context,
        root_value: None,
        sub_response: Response,
    ) -> Any:
        """Execute the operation of a request; with an idempotency key, once, although its results are streamed."""
        assert isinstance(request_data, GraphQLRequestData), "batches are refused"
        operation = Operation(request_data.query, request_data.variables, request_data.operation_name)
        self._contexts.make_idempotent(context, request.headers, operation)
        return await super().execute_operation(
            request, request_adapter, request_data, context, root_value, sub_response
        )

    async def create_streaming_response(
        self,
        request: Request | WebSocket,
        stream: Callable[[], AsyncIterator[str]],
        sub_response: Response,
        headers: Mapping[str, str],
    ) -> Response:
        """Return a stream of events. It breaks off where the process ends, so that the client connects again."""

        async def until_the_end() -> AsyncGenerator[str, None]:
            with suppress(Restarting):
                async with aclosing(cast(AsyncGenerator[str], stream())) as chunks:
                    async for chunk in chunks:
                        yield chunk

        return await super().create_streaming_response(request, until_the_end, sub_response, headers)

    async def process_result(self, request: Request, result: ExecutionResult) -> GraphQLHTTPResponse:
        """Return what is to be encoded, or has been."""
        return cast(GraphQLHTTPResponse, result) if isinstance(result, EncodedResult) else response_of(result)

    def should_render_graphql_ide(self, request: BaseRequestProtocol) -> bool:
        """Tell that this is for streams only."""
        return False

    def decode_json(self, data: str | bytes) -> object:
        """Return the object that a message's JSON is."""
        value = orjson.loads(data)
        if not isinstance(value, dict):
            raise HTTPException(400, "The request must be a JSON object.")
        return value

    def encode_json(self, data: object) -> bytes:
        """Return the response as JSON."""
        return data.body if isinstance(data, EncodedResult) else orjson.dumps(data)


def _answer_of(result: ExecutionResult, media_type: str) -> _Answer:
    encoded = result if isinstance(result, EncodedResult) else encode(result)
    headers = [(b"idempotency-replayed", b"true")] if encoded.replayed else []
    if (retry_after := _retry_after(result)) is not None:
        headers.append((b"retry-after", str(retry_after).encode()))
    return _Answer(encoded.body, "ordinary", codes_of(result), _status(result, media_type), headers)


def _answer_of_limit(refusal: RateLimited, media_type: str) -> _Answer:
    """Return the answer to who has asked for too much, which is told by the status in every media type."""
    error = GraphQLError(str(refusal), extensions=refusal.extensions)
    answer = _answer_of(PreExecutionError(data=None, errors=[error]), media_type)
    quota = Quota(refusal.limit, refusal.window, 0, refusal.reset)
    retry_after = (b"retry-after", str(refusal.reset).encode())
    return answer._replace(status=429, headers=[*quota.headers(), retry_after])


def _address(scope: Scope) -> str:
    """Return where a request comes from: the client, or whom a trusted proxy names."""
    client = scope.get("client")
    return client[0] if client else ""


def _fault(failure: BaseException) -> RequestError | None:
    """Return what clients are told of a failure of the database; None where it is another one."""
    if isinstance(failure, CancelledError):
        return Restarting()  # who cancels requests is the server, when its grace is over
    try:
        raise_fault(failure)
    except RequestError as fault:
        return fault
    return None


def _given_up(fault: RequestError, extensions: Mapping[str, Any] | None) -> ExecutionResult:
    error = GraphQLError(str(fault), original_error=fault, extensions=fault.extensions)
    return ExecutionResult(data=None, errors=[error], extensions=dict(extensions or {}))


def _retry_after(result: ExecutionResult) -> int | None:
    """Return after how many seconds to try again, where the service could not answer."""
    causes = [error.original_error for error in result.errors or ()]
    return next((cause.retry_after for cause in causes if isinstance(cause, RequestError)), None)


def _status(result: ExecutionResult, media_type: str) -> int:
    """Return the status of a response: any that has no data tells so, where the media type is made for it."""
    if _retry_after(result) is not None:
        return 503
    if not isinstance(result, PreExecutionError):
        return 200
    if any(is_internal(error) for error in result.errors or ()):
        return 500
    return 400 if media_type == RESPONSE_JSON else 200


async def _send_json(send: Send, answer: _Answer, media_type: str, request_id: str) -> None:
    headers = [
        (b"content-length", str(len(answer.body)).encode()),
        _CONTENT_TYPES[media_type],
        (b"x-request-id", request_id.encode()),
        *_PRIVATE,
        *answer.headers,
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


def _with_headers(send: Send, request_id: str) -> Send:
    """Return what sends a response with the headers that each has, unless it brings its own."""

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["x-request-id"] = request_id
            for name, value in _PRIVATE:
                headers.setdefault(name.decode(), value.decode())
        await send(message)

    return send_with_headers
