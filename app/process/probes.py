"""The probes of an orchestrator: `/livez` and `/readyz`."""

from fastapi import APIRouter, Response, status
from fastapi.responses import PlainTextResponse

from app.events.log import Events
from app.process.readiness import Readiness

_METHODS = ["GET", "HEAD"]


def probes(readiness: Readiness, events: Events) -> APIRouter:
    """Return the routes of the probes of a process."""
    router = APIRouter(default_response_class=PlainTextResponse)

    @router.api_route("/livez", methods=_METHODS)
    async def live() -> str:
        return "alive"

    @router.api_route("/readyz", methods=_METHODS)
    async def ready(response: Response) -> str:
        reason = await readiness.why_not()
        if reason is not None:
            response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
            return reason
        return "ready" if events.is_heard else "ready, but subscribers receive no events"

    return router
