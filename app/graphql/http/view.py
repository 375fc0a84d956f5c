"""Strawberry's view, which is left what streams: server-sent events and websockets."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, suppress
from datetime import timedelta
from typing import Any, cast

import orjson
from cross_web import AsyncHTTPRequestAdapter, HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.http import GraphQLHTTPResponse, GraphQLRequestData
from strawberry.http.base import BaseRequestProtocol
from strawberry.schema.base import BaseSchema
from strawberry.subscriptions import GRAPHQL_SSE_PROTOCOL, GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.types import ExecutionResult

from app.errors import Restarting
from app.graphql.context import Context
from app.graphql.http.contexts import Contexts
from app.graphql.http.protocol import address_of
from app.graphql.http.websockets import Handshake, Socket, connection_class
from app.graphql.operations.documents import GraphQLRequest
from app.graphql.operations.responses import EncodedResult, response_of
from app.graphql.subscriptions.manager import Live
from app.graphql.subscriptions.streaming import Streams
from app.settings import Settings

_INIT_WAIT = timedelta(seconds=10)


class GraphQLView(GraphQL[Any, None]):
    """Speaks both protocols; what an operation's results are is for `Streams` to say."""

    websocket_adapter_class = Socket

    def __init__(
        self, schema: BaseSchema, streams: Streams, contexts: Contexts, live: Live, settings: Settings
    ) -> None:
        super().__init__(
            schema,
            graphql_ide=None,
            subscription_protocols=(GRAPHQL_TRANSPORT_WS_PROTOCOL, GRAPHQL_SSE_PROTOCOL),
            connection_init_wait_timeout=_INIT_WAIT,
            allowed_origins=[origin for origin in settings.websocket_origins.split(",") if origin],
        )
        self.graphql_transport_ws_handler_class = connection_class(streams, live, settings, contexts.documents.trusted)
        self._streams = streams
        self._contexts = contexts

    async def get_context(self, request: Request | WebSocket, response: Response | WebSocket) -> Context | Handshake:
        """Return what the operation works with, or each operation on a websocket is given."""
        address = address_of(request.scope)
        if isinstance(request, WebSocket):
            return Handshake(request.headers, address, self._contexts)
        login = self._contexts.login(request.headers)
        return self._contexts.context(login, request.state.request_id, address)

    async def parse_http_body(self, request: AsyncHTTPRequestAdapter) -> GraphQLRequestData:
        """Return what tells Strawberry that a stream is wanted; what the request asks for has been read."""
        return GraphQLRequestData(None, None, None, extensions=None, protocol="sse")

    async def execute_operation(
        self,
        request: Request,
        request_adapter: AsyncHTTPRequestAdapter,
        request_data: GraphQLRequestData | list[GraphQLRequestData],
        context: Context,
        root_value: None,
        sub_response: Response,
    ) -> Any:
        """Return the results of the operation. With an idempotency key it happens once, streamed or not."""
        asked: GraphQLRequest = request.state.graphql_request
        self._contexts.make_idempotent(context, request.headers, asked)
        return await self._streams.results(context, asked)

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
        """Return the object that a websocket's message is; HTTPException where it is none."""
        value = orjson.loads(data)
        if not isinstance(value, dict):
            raise HTTPException(400, "The message must be a JSON object.")
        return value

    def encode_json(self, data: object) -> bytes:
        """Return the response as JSON."""
        return data.body if isinstance(data, EncodedResult) else orjson.dumps(data)
