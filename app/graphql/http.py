"""GraphQL over HTTP. A JSON POST is answered here, before the application's routing: in the compiled lane if it can be,
else in the ordinary one. Everything else goes on to Strawberry's view: GET, GraphiQL, and what is malformed."""

from datetime import timedelta
from typing import Any, NamedTuple, cast
from uuid import uuid4

import orjson
import structlog
from cross_web import AsyncHTTPRequestAdapter, HTTPException
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.exceptions import MissingQueryError
from strawberry.http import GraphQLHTTPResponse, GraphQLRequestData
from strawberry.http.base import BaseRequestProtocol
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types import ExecutionResult
from strawberry.types.graphql import OperationType

from app.database import Database
from app.errors import Unauthenticated
from app.graphql import graphiql
from app.graphql.compiled.lane import CompiledLane
from app.graphql.context import Context
from app.graphql.responses import EncodedResult, encode
from app.graphql.schema import Schema
from app.idempotency import service as idempotency
from app.security.tokens import AccessTokens
from app.security.viewer import Viewer
from app.settings import Settings

log = structlog.get_logger(__name__)


class Contexts:
    """Makes the context of an operation out of the request's headers."""

    def __init__(self, database: Database, settings: Settings) -> None:
        secret_key = settings.secret_key.get_secret_value()
        self._database = database
        self._settings = settings
        self._access_tokens = AccessTokens(secret_key, timedelta(minutes=settings.access_token_minutes))
        self._idempotency_secrets = idempotency.Secrets.of(secret_key)

    def viewer(self, headers: Headers) -> Viewer | None:
        """Return who sends the request, as the access token tells; Unauthenticated where that is no good."""
        token = _bearer_token(headers)
        return None if token is None else self._access_tokens.read(token)

    def context(self, headers: Headers, request_id: str) -> Context:
        """Return what the operation works with; a token that is no good is refused where a login is needed."""
        viewer, refusal = None, None
        try:
            viewer = self.viewer(headers)
        except Unauthenticated as refused:
            refusal = refused
        return Context(self._database, self._settings, self._access_tokens, request_id, viewer, refusal)

    def make_idempotent(
        self, context: Context, headers: Headers, query: str | None, variables: Any, operation_name: str | None
    ) -> None:
        """Execute the operation once, where the request has an idempotency key."""
        key = headers.get(idempotency.HEADER)
        if key is not None:
            viewer_id = context.token_viewer.id if context.token_viewer else None
            made_of = (query, variables, operation_name)
            context.idempotent_request = idempotency.IdempotentRequest(
                key, viewer_id, made_of, self._idempotency_secrets
            )


class _Operation(NamedTuple):
    """What a JSON POST asks for."""

    query: str
    variables: dict[str, Any] | None
    name: str | None


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

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request, or pass it on."""
        if scope["type"] == "http" and scope["method"] == "POST" and scope["path"] == self._path:
            body, receive = await _read_body(receive)
            headers = Headers(scope=scope)
            operation = _operation(headers, body)
            if operation is not None and await self._answer(headers, operation, send):
                return
        await self._app(scope, receive, send)

    async def _answer(self, headers: Headers, operation: _Operation, send: Send) -> bool:
        """Answer the operation in one of the lanes; False where there is nothing to execute."""
        request_id = uuid4().hex
        body = await self._compiled(headers, operation, request_id)
        if body is not None:
            await _send_json(send, body, request_id)
            return True
        result = await self._executed(headers, operation, request_id)
        if result is not None:
            await _send_json(send, result.body, request_id, replayed=result.replayed)
        return result is not None

    async def _compiled(self, headers: Headers, operation: _Operation, request_id: str) -> bytes | None:
        """Return the response to a query, None where the ordinary lane must answer."""
        if self._lane is None:
            return None
        try:
            return await self._lane.execute(self._contexts.viewer(headers), *operation)
        except Unauthenticated:
            return None
        except Exception:
            # The ordinary lane may answer all the same, and if it cannot it says so as it always does.
            log.exception("compiled lane failed", request_id=request_id)
            return None

    async def _executed(self, headers: Headers, operation: _Operation, request_id: str) -> EncodedResult | None:
        """Return the result of the ordinary lane; None where the document has no such operation."""
        context = self._contexts.context(headers, request_id)
        self._contexts.make_idempotent(context, headers, *operation)
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
        return result if isinstance(result, EncodedResult) else encode(result)


class GraphQLView(GraphQL[Context, None]):
    """Strawberry's view: all that is not a well-formed JSON POST; in a browser it is GraphiQL."""

    def __init__(self, schema: Schema, contexts: Contexts, *, with_graphiql: bool) -> None:
        super().__init__(schema, graphql_ide="graphiql" if with_graphiql else None, subscription_protocols=())
        self._contexts = contexts

    async def get_context(self, request: Request | WebSocket, response: Response | WebSocket) -> Context:
        """Return what the operation works with."""
        request_id = uuid4().hex
        if isinstance(response, Response):
            response.headers["X-Request-ID"] = request_id
        return self._contexts.context(request.headers, request_id)

    async def execute_single(
        self,
        request: Request,
        request_adapter: AsyncHTTPRequestAdapter,
        sub_response: Response,
        context: Context,
        root_value: None,
        request_data: GraphQLRequestData,
    ) -> ExecutionResult:
        """Execute the operation of a request; with an idempotency key, once."""
        data = request_data
        self._contexts.make_idempotent(context, request.headers, data.query, data.variables, data.operation_name)
        result = await super().execute_single(request, request_adapter, sub_response, context, root_value, request_data)
        if isinstance(result, EncodedResult) and result.replayed:
            sub_response.headers["Idempotency-Replayed"] = "true"
        return result

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


def _bearer_token(headers: Headers) -> str | None:
    header = headers.get("authorization")
    if header is None:
        return None
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthenticated("The Authorization header must be `Bearer` and an access token.")
    return token.strip()


async def _read_body(receive: Receive) -> tuple[bytes, Receive]:
    """Return the body of a request, and what receives it once more."""
    chunks, message = [], await receive()
    while message["type"] == "http.request":
        chunks.append(message.get("body", b""))
        if not message.get("more_body", False):
            break
        message = await receive()
    body = b"".join(chunks)
    again = [message if message["type"] != "http.request" else {"type": "http.request", "body": body}]

    async def receive_again() -> Message:
        return again.pop() if again else await receive()

    return body, receive_again


def _operation(headers: Headers, body: bytes) -> _Operation | None:
    """Return what a JSON POST asks for; None where it is malformed, or asks for more than an answer in JSON."""
    if not headers.get("content-type", "").startswith("application/json"):
        return None
    accept = headers.get("accept", "")
    if "event-stream" in accept or "multipart" in accept:
        return None
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    match request:
        case {"query": str(query)} if not request.get("extensions"):
            variables, name = request.get("variables"), request.get("operationName")
            if isinstance(variables, dict | None) and isinstance(name, str | None):
                return _Operation(query, variables, name)
    return None


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
