"""GraphQL over WebSockets: Strawberry's handler of `graphql-transport-ws`, with our limits and operations."""

import asyncio
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, cast
from uuid import UUID, uuid4

import orjson
import structlog
from graphql import OperationType
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState
from strawberry import Schema
from strawberry.asgi import ASGIWebSocketAdapter, GraphQL
from strawberry.http.exceptions import NonJsonMessageReceived, WebSocketDisconnected
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import BaseGraphQLTransportWSHandler
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import Operation as Subscribed
from strawberry.subscriptions.protocols.graphql_transport_ws.types import (
    ConnectionInitMessage,
    Message,
    SubscribeMessage,
)

from app.clients import Client, Holder
from app.errors import SESSION_ENDED, RequestError, Restarting, TooManyConnections, TooManySubscriptions
from app.graphql.http.protocol import JSON, Refusal, address_of, consistency_tokens, graphql_request, without_bom
from app.graphql.operations.documents import GraphQLRequest, OperationRequest, RequestedOperation
from app.graphql.operations.lifecycle import Operation
from app.graphql.operations.responses import refused
from app.graphql.operations.services import Services
from app.process.connections import take
from app.replicas.tokens import Written
from app.security.tokens import Login

RESTART = 1012
IDLE = 1000
UNAUTHORIZED = 4401
TRY_AGAIN_LATER = 1013
SESSION_OVER = 4403
_MALFORMED = "Not a message of graphql-transport-ws"
_ANSWERS_AT_ONCE = 4
_INIT_WAIT = timedelta(seconds=10)

log = structlog.get_logger(__name__)


@dataclass
class Handshake:
    """What a client sent when it connected: headers, and the payload of `connection_init`."""

    headers: Headers
    scope: Scope
    connection_params: Mapping[str, Any] | None = None
    written: Written = field(default_factory=Written)
    """What its queries must see: what was written here, and what the client says it has written elsewhere."""

    def request(self, document: GraphQLRequest) -> OperationRequest:
        """Return the request for one operation."""
        return OperationRequest(
            document,
            uuid4().hex,
            address_of(self.scope),
            authorization=self.authorization,
            consistency_tokens=self.written.tokens,
        )

    @property
    def authorization(self) -> str | None:
        """The token. Browsers cannot send headers, so it may come in the payload."""
        given = {name.lower(): value for name, value in (self.connection_params or {}).items()}
        if isinstance(token := given.get("authorization"), str):
            # A header holds Latin-1 only; a token that does not is refused.
            return token.encode("latin-1", "replace").decode("latin-1")
        return self.headers.get("authorization")


class Socket(ASGIWebSocketAdapter):
    """The WebSocket itself: sends JSON as text, and nothing after it was closed."""

    async def send_json(self, message: Mapping[str, object]) -> None:
        """Send a message once the client has received the earlier ones."""
        if self.ws.application_state is not WebSocketState.CONNECTED:
            raise WebSocketDisconnected
        try:
            await self.ws.send_text(orjson.dumps(message).decode())
        except WebSocketDisconnect as error:
            raise WebSocketDisconnected from error

    async def close(self, code: int, reason: str) -> None:
        """Close the WebSocket, if it is open."""
        if self.ws.application_state is WebSocketState.CONNECTED:
            await self.ws.close(code=code, reason=reason)


class WebSocketHandler(BaseGraphQLTransportWSHandler[Handshake, None]):
    """One client: its operations, as many as it may have, until it has none for a while."""

    view: "WebSocketEndpoint"
    _idle_timer: asyncio.TimerHandle | None = None
    _closing: asyncio.Task[None]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._services = self.view.services
        # The others wait until these have been written, which a client that doesn't read would otherwise pile up.
        self._answering = asyncio.Semaphore(_ANSWERS_AT_ONCE)

    async def handle(self) -> None:
        """Exchange messages with the client until one side leaves."""
        with (
            self._services.subscriptions.on_end(self._close_for_restart),
            self._services.live_sessions.watched(self._session_id, self._close_with_session),
        ):
            self._restart_idle_timer()
            try:
                await super().handle()
            finally:
                self._stop_idle_timer()

    async def handle_message(self, message: Message) -> None:
        """Handle a message, unless it is malformed; a hash in it may stand for its document."""
        match cast(Any, message):
            case {"type": "subscribe", "id": str(id_), "payload": dict(payload)}:
                try:
                    payload["query"] = graphql_request(payload, self._services.documents.trusted).query
                    for token in consistency_tokens(None, payload):
                        self.context.written.add(token)
                except Refusal:
                    if payload.get("query") != "":  # an empty document is an error of its own
                        return await self.handle_invalid_message(_MALFORMED)
                except RequestError as refusal:
                    if self.connection_acknowledged:
                        return await self._refuse(id_, refusal)
                    return await self.websocket.close(UNAUTHORIZED, "Unauthorized")
            case {"type": "complete", "id": str()} | {"type": "connection_init" | "ping" | "pong"}:
                pass
            case _:
                return await self.handle_invalid_message(_MALFORMED)
        return await super().handle_message(message)

    async def handle_connection_init(self, message: ConnectionInitMessage) -> None:
        """Acknowledge the connection. By the protocol, a payload of null is the same as none."""
        if message.get("payload") is None:
            message = {"type": "connection_init"}
        payload = message.get("payload", {})
        if self.connection_init_received or not isinstance(payload, dict) or await self._is_held(payload):
            await super().handle_connection_init(message)
            self.connection_init_timeout_task = None  # its end would keep a traceback

    async def _is_held(self, payload: Mapping[str, Any]) -> bool:
        """Count the connection for the user, if one has logged in, instead of the address; close it if the user has too
        many."""
        self.context.connection_params = payload
        viewer = self._login.viewer
        if viewer is not None:
            try:
                take(Holder.of(viewer, address_of(self.context.scope)), self.context.scope)
            except TooManyConnections as refusal:
                await self.websocket.close(TRY_AGAIN_LATER, refusal.code)
                return False
        return True

    async def handle_subscribe(self, message: SubscribeMessage) -> None:
        """Begin an operation, unless there are too many."""
        limit = self._services.settings.operations_per_websocket
        if self.connection_acknowledged and len(self.operations) >= limit and message["id"] not in self.operations:
            await self._refuse(message["id"], TooManySubscriptions("A WebSocket", limit))
        else:
            await super().handle_subscribe(message)

    async def run_operation(self, operation: Subscribed[Handshake, None]) -> None:
        """Send the results of an operation, and its completion."""
        document = GraphQLRequest(operation.query, operation.variables, operation.operation_name)
        known = self._services.documents.known(document)
        if known is None:
            client = Client.of(self._login.viewer, address_of(self.context.scope))
            await self._services.documents.read_in_turn(document, client)
            known = self._services.documents.known(document)
        request = self.context.request(document)._replace(operation=known)
        responses = Operation(self._services, request).stream()
        last: dict[str, Any] = {"id": operation.id, "type": "complete"}
        try:
            async with self._turn(known), aclosing(responses):
                async for response in responses:
                    if response.consistency_token is not None:
                        self.context.written.add(UUID(response.consistency_token))
                    if not response.is_executed:
                        last = {"id": operation.id, "type": "error", "payload": response.errors}
                        break
                    message = {"id": operation.id, "type": "next", "payload": orjson.Fragment(response.body)}
                    await operation.send_operation_message(cast(Message, message))
            await operation.send_operation_message(cast(Message, last))
        except WebSocketDisconnected:
            pass
        except Restarting:
            await self._close_for_restart()
        except Exception:
            log.exception("operation failed")
            await self.websocket.close(1011, "Internal server error")

    def _turn(self, operation: RequestedOperation | None) -> AbstractAsyncContextManager[Any]:
        """Return the turn to answer, for which a subscription doesn't wait."""
        is_subscription = operation is not None and operation.type is OperationType.SUBSCRIPTION
        return nullcontext() if is_subscription else self._answering

    def forget_id(self, id: str) -> None:
        """Let the id be used again."""
        super().forget_id(id)
        self._restart_idle_timer()

    async def cleanup_operation(self, operation_id: str) -> None:
        """End an operation that the client has completed."""
        await super().cleanup_operation(operation_id)
        self._restart_idle_timer()

    async def _refuse(self, id: str, refusal: RequestError) -> None:
        await self.send_message(cast(Message, {"id": id, "type": "error", "payload": refused(refusal).errors}))

    async def _close_for_restart(self) -> None:
        await self.websocket.close(RESTART, str(Restarting()))

    def _session_id(self) -> UUID | None:
        """Return the session that the token belongs to, None without a valid token."""
        return self._login.session_id if self.connection_acknowledged else None

    @property
    def _login(self) -> Login:
        """Whom the token names; nobody without a valid one."""
        return self._services.access_tokens.login_or_nobody(self.context.authorization)

    async def _close_with_session(self) -> None:
        await self.websocket.close(SESSION_OVER, SESSION_ENDED)

    def _restart_idle_timer(self) -> None:
        self._stop_idle_timer()
        seconds = self._services.settings.websocket_idle_seconds
        self._idle_timer = asyncio.get_running_loop().call_later(seconds, self._close_if_idle)

    def _stop_idle_timer(self) -> None:
        if self._idle_timer is not None:
            self._idle_timer.cancel()

    def _close_if_idle(self) -> None:
        if not self.operations:
            self._closing = asyncio.create_task(self.websocket.close(IDLE, "Idle for too long"))


class WebSocketEndpoint(GraphQL[Any, None]):
    """Accepts WebSockets of allowed origins."""

    websocket_adapter_class = Socket
    graphql_transport_ws_handler_class = WebSocketHandler

    def __init__(self, schema: Schema, services: Services) -> None:
        origins = services.settings.websocket_origins
        super().__init__(
            schema,
            graphql_ide=None,
            subscription_protocols=(GRAPHQL_TRANSPORT_WS_PROTOCOL,),
            connection_init_wait_timeout=_INIT_WAIT,
            allowed_origins=[origin for origin in origins.split(",") if origin],
        )
        self.services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Accept a WebSocket, unless its client has too many connections."""
        try:
            take(Holder.of(None, address_of(scope)), scope)
        except TooManyConnections as refusal:
            retry = {"Retry-After": str(refusal.retry_after)}
            response = Response(refused(refusal).body, refusal.status, retry, media_type=JSON)
            await WebSocket(scope, receive, send).send_denial_response(response)
            return
        await super().__call__(scope, receive, send)

    def is_websocket_origin_allowed(self, request: WebSocket, origin: str) -> bool:
        """Return whether pages of this origin may connect, and log if not."""
        if super().is_websocket_origin_allowed(request, origin):
            return True
        log.warning("refused a WebSocket from an origin that WEBSOCKET_ORIGINS doesn't allow", origin=origin)
        return False

    async def get_context(self, request: Request | WebSocket, response: Any) -> Handshake:
        """Return what the operations of a websocket have in common."""
        return Handshake(request.headers, request.scope)

    def decode_json(self, data: str | bytes) -> object:
        """Return the object that a message is; NonJsonMessageReceived where it is something else."""
        value = orjson.loads(without_bom(data))
        if not isinstance(value, dict):
            raise NonJsonMessageReceived
        return value
