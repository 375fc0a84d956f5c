"""Clients of subscriptions: one that speaks graphql-transport-ws, and the server they talk to."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

PATIENCE = 10.0  # seconds in which everything happens, or never
PROTOCOL = Subprotocol("graphql-transport-ws")


async def until(condition: Callable[[], bool]) -> None:
    """Wait until it is so."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110  # whatever it is, nobody tells
            await asyncio.sleep(0.005)


class Server(uvicorn.Server):
    """A server in the process of the tests, whose signals are not for it: Ctrl-C ends the tests."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serving(app: ASGIApp, **config: Any) -> AsyncIterator[str]:
    """Serve the application in this event loop; yield `host:port`."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=5, **config))
        task = asyncio.create_task(server.serve(sockets=[listener]))
        await until(lambda: server.started)
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task


class Client:
    """One websocket to the API."""

    def __init__(self, websocket: ClientConnection) -> None:
        self.websocket = websocket

    async def send(self, message: Mapping[str, Any]) -> None:
        await self.websocket.send(json.dumps(message))

    async def receive(self) -> Any:
        """Return the next message."""
        async with asyncio.timeout(PATIENCE):
            return json.loads(await self.websocket.recv())

    async def subscribe(self, query: str, variables: Mapping[str, Any] | None = None, id: str = "1") -> None:
        """Begin an operation."""
        await self.send({"type": "subscribe", "id": id, "payload": {"query": query, "variables": variables}})

    async def next(self, id: str = "1") -> Any:
        """Return the data of the next event, which must be of this operation and without errors."""
        message = await self.receive()
        assert message["type"] == "next", message
        assert message["id"] == id, message
        assert "errors" not in message["payload"], message
        return message["payload"]["data"]

    async def refusal(self) -> str:
        """Return the code of the error by which an operation does not begin."""
        message = await self.receive()
        assert message["type"] == "error", message
        (error,) = message["payload"]
        return str(error["extensions"]["code"])

    async def end(self) -> Mapping[str, Any]:
        """Return the error by which an operation ends that had begun."""
        message = await self.receive()
        assert message["type"] == "next", message
        assert message["payload"]["data"] is None
        (error,) = message["payload"]["errors"]
        completed = await self.receive()
        assert completed == {"id": message["id"], "type": "complete"}
        return {**error, "code": error["extensions"]["code"]}

    async def close_code(self) -> int | None:
        """Return the code by which the server closes the websocket."""
        async with asyncio.timeout(PATIENCE):
            await self.websocket.wait_closed()
        return self.websocket.close_code


@asynccontextmanager
async def connected(address: str, token: str | None = None, **options: Any) -> AsyncIterator[Client]:
    """Yield a client that has said who it is."""
    async with connect(f"ws://{address}/graphql", subprotocols=[PROTOCOL], **options) as websocket:
        client = Client(websocket)
        payload = {} if token is None else {"Authorization": f"Bearer {token}"}
        await client.send({"type": "connection_init", "payload": payload})
        assert await client.receive() == {"type": "connection_ack"}
        yield client
