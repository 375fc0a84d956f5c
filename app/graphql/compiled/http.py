"""The compiled lane over HTTP: it stands before the application, and what it does not answer passes by it."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import orjson
import structlog
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import Unauthenticated
from app.graphql.compiled.lane import CompiledLane
from app.security.viewer import Viewer

log = structlog.get_logger(__name__)

Authenticate = Callable[[Headers], Viewer | None]
"""Returns who sends a request, None for nobody; raises Unauthenticated where the token is no good."""


class CompiledLaneMiddleware:
    """Answers a JSON POST in the compiled lane if it can be; all else goes on to the application, as it came."""

    def __init__(self, app: ASGIApp, path: str, lane: CompiledLane, authenticate: Authenticate) -> None:
        self._app = app
        self._path = path
        self._lane = lane
        self._authenticate = authenticate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request, or pass it on."""
        if scope["type"] == "http" and scope["method"] == "POST" and scope["path"] == self._path:
            body, receive = await _read_body(receive)
            request_id = uuid4().hex
            answer = await self._answer(Headers(scope=scope), body, request_id)
            if answer is not None:
                await _send_json(send, answer, request_id)
                return
        await self._app(scope, receive, send)

    async def _answer(self, headers: Headers, body: bytes, request_id: str) -> bytes | None:
        """Return the response to a query, None where the ordinary lane must answer."""
        query = _plain_query(headers, body)
        if query is None:
            return None
        try:
            return await self._lane.execute(self._authenticate(headers), *query)
        except Unauthenticated:
            return None
        except Exception:
            # The ordinary lane may answer all the same, and if it cannot it says so as it always does.
            log.exception("compiled lane failed", request_id=request_id)
            return None


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


async def _send_json(send: Send, body: bytes, request_id: str) -> None:
    headers = [
        (b"content-length", str(len(body)).encode()),
        (b"content-type", b"application/json"),
        (b"x-request-id", request_id.encode()),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
