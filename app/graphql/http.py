"""GraphQL over HTTP: requests become operations with a context of their own."""

from datetime import timedelta
from typing import Any, cast
from uuid import uuid4

import orjson
import structlog
from cross_web import AsyncHTTPRequestAdapter, HTTPException
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.http import GraphQLHTTPResponse, GraphQLRequestData
from strawberry.http.base import BaseRequestProtocol
from strawberry.types import ExecutionResult

from app.database import Database, UnitOfWork
from app.errors import Unauthenticated
from app.graphql import graphiql
from app.graphql.compiled.lane import CompiledLane
from app.graphql.context import Context
from app.graphql.responses import EncodedResult
from app.graphql.schema import Schema
from app.idempotency import service as idempotency
from app.security.tokens import AccessTokens
from app.security.viewer import Viewer
from app.settings import Settings

log = structlog.get_logger(__name__)


class GraphQLView(GraphQL[Context, None]):
    """The endpoint of the API; in a browser it is GraphiQL."""

    def __init__(self, schema: Schema, database: Database, settings: Settings) -> None:
        super().__init__(
            schema,
            graphql_ide="graphiql" if settings.graphiql else None,
            subscription_protocols=(),
        )
        self._database = database
        self._settings = settings
        self._access_tokens = AccessTokens(
            settings.secret_key.get_secret_value(), timedelta(minutes=settings.access_token_minutes)
        )
        self._lane = CompiledLane(schema)
        self._idempotency_secrets = idempotency.Secrets.of(settings.secret_key.get_secret_value())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a JSON POST in the compiled lane if it can be; all else, and what is declined, as Strawberry does."""
        if self._settings.compiled_lane and scope["type"] == "http" and scope["method"] == "POST":
            body, receive = await _read_body(receive)
            request_id = uuid4().hex
            answer = await self._compiled(Headers(scope=scope), body, request_id)
            if answer is not None:
                response = Response(answer, media_type="application/json", headers={"X-Request-ID": request_id})
                return await response(scope, receive, send)
        return await super().__call__(scope, receive, send)

    async def _compiled(self, headers: Headers, body: bytes, request_id: str) -> bytes | None:
        """Return the response to a query, None where the ordinary lane must answer."""
        query = _plain_query(headers, body)
        if query is None:
            return None
        work = UnitOfWork(self._database)
        try:
            return await self._lane.execute(work, self._viewer(headers), *query)
        except Unauthenticated:
            return None
        except Exception:
            # The ordinary lane may answer all the same, and if it cannot it says so as it always does.
            log.exception("compiled lane failed", request_id=request_id)
            return None
        finally:
            await work.finish(commit=False)

    def _viewer(self, headers: Headers) -> Viewer | None:
        """Return who sends the request, as the access token tells; Unauthenticated where that is no good."""
        token = _bearer_token(headers)
        return None if token is None else self._access_tokens.read(token)

    async def get_context(self, request: Request | WebSocket, response: Response | WebSocket) -> Context:
        """Return what the operation works with; a token that is no good is refused where a login is needed."""
        viewer, refusal = None, None
        try:
            viewer = self._viewer(request.headers)
        except Unauthenticated as refused:
            refusal = refused
        request_id = uuid4().hex
        if isinstance(response, Response):
            response.headers["X-Request-ID"] = request_id
        return Context(self._database, self._settings, self._access_tokens, request_id, viewer, refusal)

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
        key = request.headers.get(idempotency.HEADER)
        if key is not None:
            made_of = (request_data.query, request_data.variables, request_data.operation_name)
            viewer_id = context.token_viewer.id if context.token_viewer else None
            context.idempotent_request = idempotency.IdempotentRequest(
                key, viewer_id, made_of, self._idempotency_secrets
            )
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


def _plain_query(headers: Headers, body: bytes) -> tuple[str, dict[str, Any] | None, str | None] | None:
    """Return document, variables and operation name of a request in which there is nothing else."""
    if not headers.get("content-type", "").startswith("application/json"):
        return None
    if any(kind in headers.get("accept", "") for kind in ("event-stream", "multipart")):
        return None
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    match request:
        case {"query": str(query)} if not request.get("extensions"):
            variables, name = request.get("variables"), request.get("operationName")
            if isinstance(variables, dict | None) and isinstance(name, str | None):
                return query, variables, name
    return None
