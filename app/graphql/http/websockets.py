"""GraphQL over WebSockets: Strawberry's handler of `graphql-transport-ws`, with our limits and operations."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from datetime import timedelta
from typing import Any, cast
from uuid import uuid4

import orjson
import structlog
from cross_web import HTTPException
from graphql import GraphQLError
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState
from strawberry import Schema
from strawberry.asgi import ASGIWebSocketAdapter, GraphQL
from strawberry.http.exceptions import NonJsonMessageReceived, WebSocketDisconnected
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import BaseGraphQLTransportWSHandler, Operation
from strawberry.subscriptions.protocols.graphql_transport_ws.types import (
    ConnectionInitMessage,
    Message,
    SubscribeMessage,
)

from app.errors import RequestError, Restarting, TooManySubscriptions
from app.graphql.http.protocol import address_of
from app.graphql.operations.documents import GraphQLRequest
from app.graphql.operations.lifecycle import Operations
from app.graphql.operations.requests import OperationRequest
from app.graphql.operations.trusted import TrustedDocuments, hash_in

RESTART = 1012
IDLE = 1000
UNAUTHORIZED = 4401
_INIT_WAIT = timedelta(seconds=10)

log = structlog.get_logger(__name__)


class Handshake:
    """What a client sent when it connected: headers, and the payload of `connection_init`."""

    def __init__(self, headers: Headers, address: str) -> None:
        self.connection_params: Mapping[str, Any] | None = None
        self._headers = headers
        self._address = address

    def request(self, document: GraphQLRequest) -> OperationRequest:
        """Return the request for one operation. Browsers cannot send headers, so the token may come in the payload."""
        authorization = self._headers.get("authorization")
        given = {name.lower(): value for name, value in (self.connection_params or {}).items()}
        if isinstance(token := given.get("authorization"), str):
            # A header holds Latin-1 only; a token that does not is refused where a login is needed.
            authorization = token.encode("latin-1", "replace").decode("latin-1")
        return OperationRequest(document, uuid4().hex, self._address, authorization=authorization)


class Socket(ASGIWebSocketAdapter):
    """The websocket itself: sends JSON as text, and nothing after it was closed."""

    async def iter_json(self, *, ignore_parsing_errors: bool = False) -> AsyncGenerator[object, None]:
        """Yield each message."""
        try:
            async for message in super().iter_json(ignore_parsing_errors=ignore_parsing_errors):
                yield message
        except HTTPException as error:
            raise NonJsonMessageReceived from error

    async def send_json(self, message: Mapping[str, object]) -> None:
        """Send a message once the client has received the earlier ones."""
        if self.ws.application_state is not WebSocketState.CONNECTED:
            raise WebSocketDisconnected
        try:
            await self.ws.send_text(orjson.dumps(message).decode())
        except WebSocketDisconnect as error:
            raise WebSocketDisconnected from error

    async def close(self, code: int, reason: str) -> None:
        """Close the websocket, if it is open."""
        if self.ws.application_state is WebSocketState.CONNECTED:
            await self.ws.close(code=code, reason=reason)


class Connection(BaseGraphQLTransportWSHandler[Handshake, None]):
    """One client: its operations, as many as it may have, until it has none for a while."""

    view: "WebSocketEndpoint"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._operations = self.view.operations
        self._services = self._operations.services
        self._idle_timer: asyncio.TimerHandle | None = None
        self._closing: asyncio.Task[None] | None = None

    async def handle(self) -> None:
        """Exchange messages with the client until one side leaves."""
        with self._services.subscriptions.on_end(self._close_for_restart):
            self._idle_if_unused()
            try:
                await super().handle()
            finally:
                self._stop_idling()

    async def handle_message(self, message: Message) -> None:
        """Handle a message, unless it is malformed."""
        try:
            message = _with_document(message, self._services.documents.trusted)
        except RequestError as refusal:
            if self.connection_acknowledged:
                await self._refuse(cast(SubscribeMessage, message)["id"], refusal)
            else:
                await self.websocket.close(UNAUTHORIZED, "Unauthorized")
            return
        if _is_well_formed(message):
            await super().handle_message(message)
        else:
            await self.handle_invalid_message("Not a message of graphql-transport-ws")

    async def handle_connection_init(self, message: ConnectionInitMessage) -> None:
        """Acknowledge the connection. By the protocol, a payload of null is the same as none."""
        if message.get("payload") is None:
            message = {"type": "connection_init"}
        await super().handle_connection_init(message)

    async def handle_subscribe(self, message: SubscribeMessage) -> None:
        """Begin an operation, unless there are too many."""
        limit = self._services.settings.operations_per_websocket
        if self.connection_acknowledged and len(self.operations) >= limit and message["id"] not in self.operations:
            await self._refuse(message["id"], TooManySubscriptions("A websocket", limit))
        else:
            self._stop_idling()
            await super().handle_subscribe(message)

    async def run_operation(self, operation: Operation[Handshake, None]) -> None:
        """Send the results of an operation, and its completion."""
        try:
            await self._send_results(operation)
        except WebSocketDisconnected:
            pass
        except Restarting:
            await self._close_for_restart()
        except Exception:
            log.exception("operation failed")
            await self.websocket.close(1011, "Internal server error")

    def forget_id(self, id: str) -> None:
        """Let the id be used again."""
        super().forget_id(id)
        self._idle_if_unused()

    async def cleanup_operation(self, operation_id: str) -> None:
        """End an operation that the client has completed."""
        await super().cleanup_operation(operation_id)
        self._idle_if_unused()

    async def _send_results(self, operation: Operation[Handshake, None]) -> None:
        document = GraphQLRequest(operation.query, operation.variables, operation.operation_name)
        async with aclosing(self._operations.stream(self.context.request(document))) as responses:
            async for response in responses:
                if not response.is_executed:
                    message = {"id": operation.id, "type": "error", "payload": response.errors}
                    return await operation.send_operation_message(cast(Message, message))
                message = {"id": operation.id, "type": "next", "payload": orjson.Fragment(response.body)}
                await operation.send_operation_message(cast(Message, message))
        return await operation.send_operation_message({"id": operation.id, "type": "complete"})

    async def _refuse(self, id: str, refusal: RequestError) -> None:
        error = GraphQLError(str(refusal), extensions=refusal.extensions)
        await self.send_message({"id": id, "type": "error", "payload": [error.formatted]})

    async def _close_for_restart(self) -> None:
        await self.websocket.close(RESTART, str(Restarting()))

    def _stop_idling(self) -> None:
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None

    def _idle_if_unused(self) -> None:
        if not self.operations:
            self._stop_idling()
            self._idle_timer = asyncio.get_running_loop().call_later(
                self._services.settings.websocket_idle_seconds, self._close_idle
            )

    def _close_idle(self) -> None:
        self._closing = asyncio.create_task(self.websocket.close(IDLE, "Idle for too long"))


class WebSocketEndpoint(GraphQL[Any, None]):
    """Accepts websockets of allowed origins."""

    websocket_adapter_class = Socket
    graphql_transport_ws_handler_class = Connection

    def __init__(self, schema: Schema, operations: Operations) -> None:
        origins = operations.services.settings.websocket_origins
        super().__init__(
            schema,
            graphql_ide=None,
            subscription_protocols=(GRAPHQL_TRANSPORT_WS_PROTOCOL,),
            connection_init_wait_timeout=_INIT_WAIT,
            allowed_origins=[origin for origin in origins.split(",") if origin],
        )
        self.operations = operations

    async def get_context(self, request: Request | WebSocket, response: Any) -> Handshake:
        """Return what the operations of a websocket have in common."""
        return Handshake(request.headers, address_of(request.scope))

    def decode_json(self, data: str | bytes) -> object:
        """Return the object that a message is; HTTPException where it is something else."""
        value = orjson.loads(data)
        if not isinstance(value, dict):
            raise HTTPException(400, "The message must be a JSON object.")
        return value


def _with_document(message: Message, trusted: TrustedDocuments) -> Message:
    """Return the message with its document in place of the hash that stands for it, if one does."""
    match message:
        case {"type": "subscribe", "id": str(), "payload": {**payload}}:
            query, hash_ = payload.get("query"), hash_in(cast(Mapping[str, Any], payload))
            if hash_ is not None and isinstance(query, str | None):
                named = {**message, "payload": {**payload, "query": trusted.text(query or None, hash_)}}
                return cast(Message, named)
    return message


def _is_well_formed(message: Any) -> bool:
    """Return whether a message has the fields of its type."""
    match message:
        case {"type": "subscribe", "id": str(), "payload": {"query": str()} as payload}:
            variables, name = payload.get("variables"), payload.get("operationName")
            return isinstance(variables, dict | None) and isinstance(name, str | None)
        case {"type": "complete", "id": str()}:
            return True
        case {"type": "connection_init" | "ping" | "pong"}:
            return True
    return False
