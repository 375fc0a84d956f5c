"""Requests as a server hands them to the application, whatever they hold: no client stands between to mend them."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from starlette.types import ASGIApp

PATIENCE = 20.0  # seconds in which every request is answered, or hangs
JSON = (b"content-type", b"application/json")

Headers = Sequence[tuple[bytes, bytes]]


@dataclass
class Reply:
    """What the application sent."""

    status: int | None = None
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""
    is_complete: bool = False

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


async def request(
    app: ASGIApp,
    body: bytes | Iterable[bytes] = b"",
    *,
    method: str = "POST",
    path: str = "/graphql",
    query_string: bytes = b"",
    headers: Headers = (JSON,),
    disconnects: bool = False,
) -> Reply:
    """Send a request, its body in one chunk or several, of which the last may be missing; return what is answered."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode("utf-8", "surrogatepass"),
        "root_path": "",
        "query_string": query_string,
        "headers": [(b"host", b"test"), *headers],
        "client": ("127.0.0.1", 50_000),
        "server": ("127.0.0.1", 8_000),
    }
    reply, chunks = Reply(), _messages([body] if isinstance(body, bytes) else list(body), disconnects)

    async def receive() -> Any:
        await asyncio.sleep(0)
        message = next(chunks, None)
        if message is None:
            await asyncio.get_running_loop().create_future()  # nothing more ever comes
        return message

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            assert reply.status is None, "there is one response to a request"
            reply.status, reply.headers = message["status"], dict(message["headers"])
        elif message["type"] == "http.response.body":
            assert not reply.is_complete, "nothing comes after the end"
            reply.body += message.get("body", b"")
            reply.is_complete = not message.get("more_body", False)

    async with asyncio.timeout(PATIENCE):
        await app(scope, receive, send)
    return reply


def _messages(chunks: Sequence[bytes], disconnects: bool) -> Iterator[dict[str, Any]]:
    for number, chunk in enumerate(chunks):
        more = disconnects or number + 1 < len(chunks)
        yield {"type": "http.request", "body": chunk, "more_body": more}
    if disconnects:
        yield {"type": "http.disconnect"}
