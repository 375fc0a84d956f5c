"""The probes of an orchestrator: `/livez` and `/readyz`."""

import asyncio

from fastapi import APIRouter, Response, status
from fastapi.responses import PlainTextResponse
from sqlalchemy import URL

from app.process.readiness import why_not_ready

_METHODS = ["GET", "HEAD"]


def probes(url: URL) -> APIRouter:
    """Return the routes of the probes of a process with this database."""
    router = APIRouter(default_response_class=PlainTextResponse)
    check: asyncio.Task[str | None] | None = None

    @router.api_route("/livez", methods=_METHODS)
    async def live() -> str:
        return "alive"

    @router.api_route("/readyz", methods=_METHODS)
    async def ready(response: Response) -> str:
        nonlocal check
        if check is None or check.done():  # one at a time, however many ask: each opens a connection
            check = asyncio.create_task(why_not_ready(url))
        reason = await asyncio.shield(check)
        if reason is not None:
            response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
        return reason or "ready"

    return router
