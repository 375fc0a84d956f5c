"""Websockets, over which `graphql-transport-ws` is spoken: each operation on one has a context of its own."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, cast
from uuid import uuid4

import orjson
import structlog
from cross_web import HTTPException
from graphql import GraphQLError
from starlette.datastructures import Headers
from starlette.websockets import WebSocketDisconnect, WebSocketState
from strawberry.asgi import ASGIWebSocketAdapter
from strawberry.http import process_result
from strawberry.http.exceptions import NonJsonMessageReceived, WebSocketDisconnected
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import BaseGraphQLTransportWSHandler, Operation
from strawberry.subscriptions.protocols.graphql_transport_ws.types import (
    ConnectionInitMessage,
    Message,
    SubscribeMessage,
)
from strawberry.types.execution import PreExecutionError

from app.errors import RequestError, Restarting, TooManySubscriptions
from app.graphql.context import Context
from app.graphql.http.contexts import Contexts
from app.graphql.operations.documents import GraphQLRequest
from app.graphql.operations.responses import EncodedResult
from app.graphql.operations.trusted import TrustedDocuments, hash_in
from app.graphql.subscriptions.manager import Live
from app.graphql.subscriptions.streaming import Streams
from app.settings import Settings

RESTART = 1012
IDLE = 1000
UNAUTHORIZED = 4401

log = structlog.get_logger(__name__)


class Handshake:
    """What a client said when it connected: headers, and what `connection_init` brought."""

    def __init__(self, headers: Headers, address: str, contexts: Contexts) -> None:
        self.headers = headers
        self.address = address
        self.connection_params: Mapping[str, Any] | None = None
        self._contexts = contexts

    def context(self) -> Context:
        """Return what one operation works with. Browsers cannot send headers, so the token may come later."""
        given = {name.lower(): value for name, value in (self.connection_params or {}).items()}
        token = given.get("authorization")
        # A header holds Latin-1 only; a token that does not is no good, and refused where a login is needed.
        own = {"authorization": token.encode("latin-1", "replace").decode("latin-1")} if isinstance(token, str) else {}
        login = self._contexts.login(Headers({**self.headers, **own}))
        return self._contexts.context(login, uuid4().hex, self.address)


class Socket(ASGIWebSocketAdapter):
    """The websocket itself: JSON as text, and nothing after it was closed."""

    async def iter_json(self, *, ignore_parsing_errors: bool = False) -> AsyncGenerator[object, None]:
        """Yield each message."""
        try:
            async for message in super().iter_json(ignore_parsing_errors=ignore_parsing_errors):
                yield message
        except HTTPException as error:
            raise NonJsonMessageReceived from error

    async def send_json(self, message: Mapping[str, object]) -> None:
        """Send a message, once the client has taken those before."""
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

    streams: Streams
    live: Live
    settings: Settings
    trusted: TrustedDocuments

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._idle: asyncio.TimerHandle | None = None
        self._closing: asyncio.Task[None] | None = None

    async def handle(self) -> None:
        """Talk to the client until one of us goes."""
        with self.live.bidding_farewell(self._bid_farewell):
            self._rest()
            try:
                await super().handle()
            finally:
                self._stir()

    async def handle_message(self, message: Message) -> None:
        """Do what the client says, if it is said properly."""
        try:
            message = _with_document(message, self.trusted)
        except RequestError as refusal:
            if self.connection_acknowledged:
                await self._refuse(cast(SubscribeMessage, message)["id"], refusal)
            else:
                await self.websocket.close(UNAUTHORIZED, "Unauthorized")
            return
        if _is_proper(message):
            await super().handle_message(message)
        else:
            await self.handle_invalid_message("The message is not one of graphql-transport-ws")

    async def handle_connection_init(self, message: ConnectionInitMessage) -> None:
        """Greet the client. A payload that is null is none, as the protocol has it."""
        said: ConnectionInitMessage = message if message.get("payload") is not None else {"type": "connection_init"}
        await super().handle_connection_init(said)

    async def handle_subscribe(self, message: SubscribeMessage) -> None:
        """Begin an operation, unless there are too many."""
        limit = self.settings.operations_per_websocket
        if self.connection_acknowledged and len(self.operations) >= limit and message["id"] not in self.operations:
            await self._refuse(message["id"], TooManySubscriptions("A websocket", limit))
        else:
            self._stir()
            await super().handle_subscribe(message)

    async def run_operation(self, operation: Operation[Handshake, None]) -> None:
        """Send the results of an operation, and say when there are no more."""
        try:
            await self._send_results(operation)
        except WebSocketDisconnected:
            pass
        except Restarting:
            await self._bid_farewell()
        except Exception:
            log.exception("operation failed")
            await self.websocket.close(1011, "Something went wrong on our side")

    def forget_id(self, id: str) -> None:
        """Let the id be used again."""
        super().forget_id(id)
        self._rest()

    async def cleanup_operation(self, operation_id: str) -> None:
        """End an operation that the client wants no more."""
        await super().cleanup_operation(operation_id)
        self._rest()

    async def _send_results(self, operation: Operation[Handshake, None]) -> None:
        request = GraphQLRequest(operation.query, operation.variables, operation.operation_name)
        async with aclosing(await self.streams.results(self.context.context(), request)) as each:
            async for result in each:
                if isinstance(result, PreExecutionError):
                    return await operation.send_initial_errors(result.errors or [])
                payload = result.body if isinstance(result, EncodedResult) else orjson.dumps(process_result(result))
                message = {"id": operation.id, "type": "next", "payload": orjson.Fragment(payload)}
                await operation.send_operation_message(cast(Message, message))
        return await operation.send_operation_message({"id": operation.id, "type": "complete"})

    async def _refuse(self, id: str, refusal: RequestError) -> None:
        error = GraphQLError(str(refusal), extensions=refusal.extensions)
        await self.send_message({"id": id, "type": "error", "payload": [error.formatted]})

    async def _bid_farewell(self) -> None:
        await self.websocket.close(RESTART, str(Restarting()))

    def _stir(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    def _rest(self) -> None:
        if not self.operations:
            self._stir()
            self._idle = asyncio.get_running_loop().call_later(self.settings.websocket_idle_seconds, self._leave)

    def _leave(self) -> None:
        self._closing = asyncio.create_task(self.websocket.close(IDLE, "Nothing is asked for"))


def connection_class(streams: Streams, live: Live, settings: Settings, trusted: TrustedDocuments) -> type[Connection]:
    """Return what handles connections, as Strawberry wants it: a class."""
    parts = {"streams": streams, "live": live, "settings": settings, "trusted": trusted}
    return type("Connection", (Connection,), parts)


def _with_document(message: Message, trusted: TrustedDocuments) -> Message:
    """Return a message with the document that it names by a hash, if it does."""
    match message:
        case {"type": "subscribe", "id": str(), "payload": {**payload}}:
            query, hash_ = payload.get("query"), hash_in(cast(Mapping[str, Any], payload))
            if hash_ is not None and isinstance(query, str | None):
                named = {**message, "payload": {**payload, "query": trusted.text(query or None, hash_)}}
                return cast(Message, named)
    return message


def _is_proper(message: Any) -> bool:
    """Tell whether a message has what its type says, and as it should be."""
    match message:
        case {"type": "subscribe", "id": str(), "payload": {"query": str()} as payload}:
            variables, name = payload.get("variables"), payload.get("operationName")
            return isinstance(variables, dict | None) and isinstance(name, str | None)
        case {"type": "complete", "id": str()}:
            return True
        case {"type": "connection_init" | "ping" | "pong"}:
            return True
    return False
