"""Servers whose connections are limited, as tests make them."""

from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from app.process.connections import CONNECTIONS, Connections, Limits
from app.process.protocol import Protocol, WebSocketProtocol

LIMITS = Limits(in_all=1_000, per_user=1_000, per_address=1_000, request_seconds=30, response_seconds=30)
PROTOCOLS: dict[str, Any] = {"http": Protocol, "ws": WebSocketProtocol}


def counting(app: ASGIApp, connections: Connections) -> ASGIApp:
    """Return an application without a lifespan of its own, whose server counts connections."""

    async def counted(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            for event in ("startup", "shutdown"):
                await receive()
                scope["state"][CONNECTIONS] = connections
                await send({"type": f"lifespan.{event}.complete"})
        else:
            await app(scope, receive, send)

    return counted
