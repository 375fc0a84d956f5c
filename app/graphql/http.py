"""GraphQL over HTTP: requests become operations with a context of their own."""

from datetime import timedelta
from uuid import uuid4

import orjson
from cross_web import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.http.base import BaseRequestProtocol
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL

from app.database import Database, UnitOfWork
from app.errors import Unauthenticated
from app.graphql import graphiql
from app.graphql.context import Context
from app.graphql.schema import Schema
from app.security.tokens import AccessTokens
from app.settings import Settings


class GraphQLView(GraphQL[Context, None]):
    """The endpoint of the API; in a browser it is GraphiQL."""

    def __init__(self, schema: Schema, database: Database, settings: Settings) -> None:
        super().__init__(
            schema,
            graphql_ide="graphiql" if settings.graphiql else None,
            subscription_protocols=[GRAPHQL_TRANSPORT_WS_PROTOCOL],
        )
        self._database = database
        self._settings = settings
        self._access_tokens = AccessTokens(
            settings.secret_key.get_secret_value(), timedelta(minutes=settings.access_token_minutes)
        )

    async def get_context(self, request: Request | WebSocket, response: Response | WebSocket) -> Context:
        """Return what the operation works with; a token that is no good is refused where a login is needed."""
        context = Context(
            work=UnitOfWork(self._database),
            settings=self._settings,
            access_tokens=self._access_tokens,
            request_id=uuid4().hex,
        )
        if isinstance(response, Response):
            response.headers["X-Request-ID"] = context.request_id
        try:
            token = _bearer_token(request)
            context.viewer = self._access_tokens.read(token) if token is not None else None
        except Unauthenticated as refusal:
            context.refused_token = refusal
        return context

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
        return orjson.dumps(data)


def _bearer_token(connection: HTTPConnection) -> str | None:
    header = connection.headers.get("authorization")
    if header is None:
        return None
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthenticated("The Authorization header must be `Bearer` and an access token.")
    return token.strip()
