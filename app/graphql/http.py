"""GraphQL over HTTP: requests become operations with a context of their own."""

from datetime import timedelta
from typing import cast
from uuid import uuid4

import orjson
from cross_web import AsyncHTTPRequestAdapter, HTTPException
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.http import GraphQLHTTPResponse, GraphQLRequestData
from strawberry.http.base import BaseRequestProtocol
from strawberry.types import ExecutionResult

from app.database import Database
from app.errors import Unauthenticated
from app.graphql import graphiql
from app.graphql.context import Context
from app.graphql.responses import EncodedResult
from app.graphql.schema import Schema
from app.idempotency import service as idempotency
from app.security.tokens import AccessTokens
from app.security.viewer import Viewer
from app.settings import Settings


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
        self._idempotency_secrets = idempotency.Secrets.of(settings.secret_key.get_secret_value())

    def authenticate(self, headers: Headers) -> Viewer | None:
        """Return who sends the request, as the access token tells; Unauthenticated where that is no good."""
        token = _bearer_token(headers)
        return None if token is None else self._access_tokens.read(token)

    async def get_context(self, request: Request | WebSocket, response: Response | WebSocket) -> Context:
        """Return what the operation works with; a token that is no good is refused where a login is needed."""
        viewer, refusal = None, None
        try:
            viewer = self.authenticate(request.headers)
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
