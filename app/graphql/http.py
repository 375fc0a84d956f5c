"""GraphQL over HTTP. A JSON POST is answered here, before the application's routing: in the compiled lane if it can be,
else in the ordinary one. Everything else goes on to Strawberry's view: GET, GraphiQL, and what is malformed."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from datetime import timedelta
from time import perf_counter
from typing import Any, NamedTuple, cast

import orjson
import structlog
from cross_web import AsyncHTTPRequestAdapter, HTTPException
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.exceptions import MissingQueryError
from strawberry.http import GraphQLHTTPResponse, GraphQLRequestData
from strawberry.http.base import BaseRequestProtocol
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.subscriptions import GRAPHQL_SSE_PROTOCOL, GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.types import ExecutionResult
from strawberry.types.graphql import OperationType
from uuid_utils import uuid7

from app.errors import Restarting, Unauthenticated
from app.graphql import graphiql
from app.graphql.compiled.lane import CompiledLane
from app.graphql.context import Context
from app.graphql.explain import Explanation
from app.graphql.live import Live
from app.graphql.requests import Contexts, Operation, operation_of, read_body
from app.graphql.responses import EncodedResult, encode, extended
from app.graphql.schema import Schema
from app.graphql.sockets import Handshake, Socket, connection_class
from app.settings import Settings

_INIT_WAIT = timedelta(seconds=10)

log = structlog.get_logger(__name__)


class _Answer(NamedTuple):
    """The response to an operation, and what the log tells of it."""

    body: bytes
    lane: str
    codes: Sequence[Any] = ()
    replayed: bool = False


class GraphQLEndpoint:
    """Stands before the application and answers the JSON POSTs to its path; all else passes by, as it came."""

    def __init__(
        self, app: ASGIApp, path: str, schema: Schema, contexts: Contexts, lane: CompiledLane | None = None
    ) -> None:
        self._app = app
        self._path = path
        self._schema = schema
        self._contexts = contexts
        self._lane = lane
        self._log = log.bind()  # for each line, the unbound one would assemble another

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request, or pass it on."""
        if scope["type"] == "http" and scope["method"] == "POST" and scope["path"] == self._path:
            body, receive = await read_body(receive)
            headers = Headers(scope=scope)
            operation = operation_of(headers, body)
            if operation is not None and await self._answer(headers, operation, send):
                return
        await self._app(scope, receive, send)

    async def _answer(self, headers: Headers, operation: Operation, send: Send) -> bool:
        """Answer the operation in one of the lanes; False where there is nothing to execute."""
        begun, request_id = perf_counter(), uuid7().hex
        explanation = self._contexts.explanation(headers)
        answer = await self._compiled(headers, operation, request_id, explanation)
        if answer is None:
            answer = await self._executed(headers, operation, request_id, explanation)
        if answer is None:
            return False
        await _send_json(send, answer.body, request_id, replayed=answer.replayed)
        _tell(self._log, request_id, operation, answer.lane, perf_counter() - begun, answer.codes)
        return True

    async def _compiled(
        self, headers: Headers, operation: Operation, request_id: str, explanation: Explanation | None
    ) -> _Answer | None:
        """Return the answer to a query, None where the ordinary lane must answer."""
        documents = self._contexts.documents
        parsed = documents.read(operation.query).operation(operation.name) if operation.query else None
        if self._lane is None or parsed is None or documents.refusal(cost := parsed.cost(operation.variables)):
            return None
        try:
            viewer = self._contexts.viewer(headers)
            body = await self._lane.execute(viewer, parsed, operation.variables, explanation)
        except Unauthenticated:
            return None
        except Exception:
            # The ordinary lane may answer all the same, and if it cannot it says so as it always does.
            log.exception("compiled lane failed", request_id=request_id)
            return None
        if body is None:
            return None
        explained = {} if explanation is None else {"explain": explanation.shown()}
        return _Answer(extended(body, cost=documents.told(cost), **explained), "compiled")

    async def _executed(
        self, headers: Headers, operation: Operation, request_id: str, explanation: Explanation | None
    ) -> _Answer | None:
        """Return the answer of the ordinary lane; None where the document has no such operation."""
        context = self._contexts.context(headers, request_id, explanation)
        self._contexts.make_idempotent(context, headers, operation)
        try:
            result = await self._schema.execute(
                operation.query,
                variable_values=operation.variables,
                context_value=context,
                operation_name=operation.name,
                allowed_operation_types=OperationType.from_http("POST"),
            )
        except (MissingQueryError, CannotGetOperationTypeError, InvalidOperationTypeError):
            return None
        encoded = result if isinstance(result, EncodedResult) else encode(result)
        return _Answer(encoded.body, "ordinary", _codes(result), replayed=encoded.replayed)


class GraphQLView(GraphQL[Any, None]):
    """Strawberry's view: all that is not a well-formed JSON POST; in a browser it is GraphiQL."""

    websocket_adapter_class = Socket

    def __init__(self, schema: Schema, contexts: Contexts, live: Live, settings: Settings) -> None:
        super().__init__(
            schema,
            graphql_ide="graphiql" if settings.graphiql else None,
            subscription_protocols=(GRAPHQL_TRANSPORT_WS_PROTOCOL, GRAPHQL_SSE_PROTOCOL),
            connection_init_wait_timeout=_INIT_WAIT,
            allowed_origins=[origin for origin in settings.websocket_origins.split(",") if origin],
        )
        self.graphql_transport_ws_handler_class = connection_class(live, settings)
        self._contexts = contexts

    async def get_context(self, request: Request | WebSocket, response: Response | WebSocket) -> Context | Handshake:
        """Return what the operation works with, or each operation on a websocket is given."""
        if isinstance(request, WebSocket):
            return Handshake(request.headers, self._contexts.context)
        request_id = uuid7().hex
        if isinstance(response, Response):
            response.headers["X-Request-ID"] = request_id
        return self._contexts.context(request.headers, request_id)

    async def execute_operation(
        self,
        request: Request,
        request_adapter: AsyncHTTPRequestAdapter,
        request_data: GraphQLRequestData | list[GraphQLRequestData],
        context: Context,
        root_value: None,
        sub_response: Response,
    ) -> Any:
        """Execute the operation of a request; with an idempotency key, once, also where its results are streamed."""
        assert isinstance(request_data, GraphQLRequestData), "batches are refused"
        operation = Operation(request_data.query, request_data.variables, request_data.operation_name)
        self._contexts.make_idempotent(context, request.headers, operation)
        begun = perf_counter()
        result = await super().execute_operation(
            request, request_adapter, request_data, context, root_value, sub_response
        )
        if isinstance(result, ExecutionResult):
            _tell(log, context.request_id, operation, "ordinary", perf_counter() - begun, _codes(result))
        if isinstance(result, EncodedResult) and result.replayed:
            sub_response.headers["Idempotency-Replayed"] = "true"
        return result

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
        if isinstance(result, EncodedResult):
            return cast(GraphQLHTTPResponse, result)
        return await super().process_result(request, result)

    def should_render_graphql_ide(self, request: BaseRequestProtocol) -> bool:
        """Tell whether a person asks with a browser."""
        return graphiql.wants_page(request)

    async def render_graphql_ide(self, request: Request) -> Response:
        """Return GraphiQL."""
        return graphiql.page()

    def decode_json(self, data: str | bytes) -> object:
        """Return the object or list that a request's JSON is."""
        value = orjson.loads(data)
        if not isinstance(value, dict | list):
            raise HTTPException(400, "The request must be a JSON object.")
        return value

    def encode_json(self, data: object) -> bytes:
        """Return the response as JSON."""
        return data.body if isinstance(data, EncodedResult) else orjson.dumps(data)


async def _send_json(send: Send, body: bytes, request_id: str, *, replayed: bool = False) -> None:
    headers = [
        (b"content-length", str(len(body)).encode()),
        (b"content-type", b"application/json"),
        (b"x-request-id", request_id.encode()),
    ]
    if replayed:
        headers.append((b"idempotency-replayed", b"true"))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _codes(result: ExecutionResult) -> Sequence[Any]:
    return [(error.extensions or {}).get("code") for error in result.errors or ()]


def _tell(log: Any, request_id: str, operation: Operation, lane: str, seconds: float, codes: Sequence[Any]) -> None:
    """Tell the log of an operation that was answered; its values and its document stay untold."""
    log.info(
        "operation",
        request_id=request_id,
        name=operation.name,
        lane=lane,
        milliseconds=round(seconds * 1000, 2),
        codes=codes,
    )
