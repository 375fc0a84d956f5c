"""GraphQL over HTTP: decodes a request, lets its operation run, and encodes the response.

Requests are answered here, before the application's routing, which would cost more than a compiled query."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial

from graphql import OperationType
from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uuid_utils import uuid7

from app.clients import Holder
from app.errors import INTERNAL, RequestError, Unauthenticated
from app.graphql.http.event_stream import event_stream
from app.graphql.http.protocol import (
    EXPLAIN,
    JSON,
    RESPONSE_JSON,
    Accepted,
    Refusal,
    accepted,
    address_of,
    client_request_id,
    consistency_tokens,
    graphql_request,
    is_forwarded_untrusted,
    read_parameters,
    require_carriable,
)
from app.graphql.operations.cancellation import Disconnected
from app.graphql.operations.documents import GraphQLRequest, OperationRequest
from app.graphql.operations.lifecycle import Operation
from app.graphql.operations.rate_limits import Quota
from app.graphql.operations.responses import Response, refused
from app.graphql.operations.services import Services
from app.idempotency.service import HEADER as IDEMPOTENCY_KEY
from app.process.connections import held_by
from app.replicas.tokens import HEADER as CONSISTENCY_TOKEN
from app.web import graphiql

_PRIVATE = [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]
_CONTENT_TYPES = {name: (b"content-type", f"{name}; charset=utf-8".encode()) for name in (JSON, RESPONSE_JSON)}
_UNAUTHORIZED = 401
_EXPLAIN, _IDEMPOTENCY_KEY = EXPLAIN.lower().encode(), IDEMPOTENCY_KEY.lower().encode()
_CONSISTENCY_TOKEN = CONSISTENCY_TOKEN.lower().encode()

Headers = Mapping[bytes, bytes]


class GraphQLEndpoint:
    """Sits before the application and answers the HTTP requests to its path; passes on all others unchanged."""

    def __init__(self, app: ASGIApp, path: str, services: Services) -> None:
        self._app = app
        self._path = path
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request, or pass it on."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = dict(reversed(scope["headers"]))  # of a repeated header the first counts, as with WebSockets
        if is_forwarded_untrusted(scope, headers):
            self._services.monitor.report_untrusted_proxy(address_of(scope))
        if scope["type"] == "websocket":
            del headers  # for as long as the WebSocket is open
            await self._app(scope, receive, send)
            return
        request_id = uuid7().hex
        if scope["path"] == self._path:
            await self._serve(scope, headers, request_id, receive, send)
        else:
            await self._app(scope, receive, _with_headers(send, request_id))

    async def _serve(self, scope: Scope, headers: Headers, request_id: str, receive: Receive, send: Send) -> None:
        """Find out what the client accepts, read its request, and answer it."""
        media_type, method = JSON, scope["method"]
        try:
            accepts = accepted(scope, page=self._services.settings.graphiql)
            media_type = accepts.media_type or JSON
            if accepts.page:
                await graphiql.page()(scope, receive, _with_headers(send, request_id))
                return
            parameters = await read_parameters(scope, headers, receive, self._services.settings.body_limit_kb * 1024)
            document = graphql_request(parameters, self._services.documents.trusted)
            request = OperationRequest(
                document,
                request_id,
                address_of(scope),
                client_request_id=client_request_id(headers),
                authorization=_text(headers.get(b"authorization")),
                idempotency_key=_text(headers.get(_IDEMPOTENCY_KEY)),
                consistency_tokens=consistency_tokens(headers.get(_CONSISTENCY_TOKEN), parameters),
                explain=_EXPLAIN in headers,
                receive=receive,
                check=partial(require_carriable, method, accepts),
                operation=self._services.documents.known(document),
            )
            if request.operation is None:
                with self._services.watch.over(receive):
                    await self._services.documents.read_in_turn(document, self._holder(request).client)
            if accepts.events and self._is_streamed(method, accepts, document):
                streamed = request._replace(explain=False, receive=None)
                stream = event_stream(Operation(self._services, streamed).stream())
                with held_by(self._holder(request), scope):
                    await stream(scope, receive, _with_headers(send, request_id))
                return
            await Operation(self._services, request).answer(partial(_send, send, media_type, request_id))
        except RequestError as failure:
            await _send(send, media_type, request_id, refused(failure))
        except (ClientDisconnect, Disconnected):
            pass

    def _holder(self, request: OperationRequest) -> Holder:
        """Return whom a stream's connection counts for."""
        login = self._services.access_tokens.login_or_nobody(request.authorization)
        return Holder.of(login.viewer, request.address)

    def _is_streamed(self, method: str, accepts: Accepted, document: GraphQLRequest) -> bool:
        """Return whether the response is a stream."""
        with suppress(Exception):  # whatever is wrong, it is found again, and reported, when the operation runs
            operation = self._services.documents.requested(document)
            require_carriable(method, accepts, operation)
            return operation.type is OperationType.SUBSCRIPTION or accepts.events_first
        return False


async def _send(send: Send, media_type: str, request_id: str, response: Response) -> int:
    """Send a response as JSON, and return its status."""
    headers = [
        (b"content-length", str(len(response.body)).encode()),
        _CONTENT_TYPES[media_type],
        (b"x-request-id", request_id.encode()),
        *_PRIVATE,
    ]
    if response.replayed:
        headers.append((b"idempotency-replayed", b"true"))
    if response.consistency_token is not None:
        headers.append((_CONSISTENCY_TOKEN, response.consistency_token.encode()))
    if response.failure is not None:
        headers += _headers_of(response.failure)
    if response.quota is not None:
        headers += _quota_headers(response.quota)
    status = _status(response, media_type)
    if status == _UNAUTHORIZED:
        headers.append((b"www-authenticate", b'Bearer error="invalid_token"'))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})
    return status


def _status(response: Response, media_type: str) -> int:
    """Return the status of a response. The media type made for it says so whenever there is no data."""
    if response.failure is not None and response.failure.status is not None:
        return response.failure.status
    if response.is_executed:
        return 200
    if INTERNAL in response.codes:
        return 500
    if media_type == JSON:
        return 200
    return _UNAUTHORIZED if Unauthenticated.code in response.codes else 400


def _headers_of(failure: RequestError) -> Iterator[tuple[bytes, bytes]]:
    """Yield the headers that a failure asks for."""
    if failure.retry_after is not None:
        yield b"retry-after", str(failure.retry_after).encode()
    if isinstance(failure, Refusal):
        yield from failure.headers


def _quota_headers(quota: Quota) -> list[tuple[bytes, bytes]]:
    """Return the headers of a rate limit in the IETF's draft."""
    return [
        (b"ratelimit-policy", b'"points";q=%d;w=%d' % (quota.limit, quota.window)),
        (b"ratelimit", b'"points";r=%d;t=%d' % (quota.remaining, quota.reset)),
    ]


def _text(header: bytes | None) -> str | None:
    return None if header is None else header.decode("latin-1")


def _with_headers(send: Send, request_id: str) -> Send:
    """Return a `send` that adds the headers of every response, unless the response has its own."""

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["x-request-id"] = request_id
            for name, value in _PRIVATE:
                headers.setdefault(name.decode(), value.decode())
        await send(message)

    return send_with_headers
