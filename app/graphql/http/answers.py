"""The response to an operation over HTTP: its bytes, its status and its headers."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from graphql import GraphQLError
from starlette.types import Send
from strawberry.types import ExecutionResult
from strawberry.types.execution import PreExecutionError

from app.errors import RateLimited, RequestError
from app.graphql.errors import is_internal, presentable
from app.graphql.http.protocol import JSON, RESPONSE_JSON, RawHeaders, Refusal
from app.graphql.operations.rate_limits import Quota
from app.graphql.operations.responses import EncodedResult, encode, refused
from app.monitoring.monitor import codes_of
from app.monitoring.operation_log import RESOLVER

PRIVATE = [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]
_CONTENT_TYPES = {name: (b"content-type", f"{name}; charset=utf-8".encode()) for name in (JSON, RESPONSE_JSON)}


class Answer(NamedTuple):
    """The response to an operation, and what the log tells of it."""

    body: bytes
    path: str = RESOLVER
    codes: Sequence[Any] = ()
    status: int = 200
    headers: RawHeaders = ()

    async def send(self, send: Send, media_type: str, request_id: str) -> None:
        """Send it as JSON."""
        headers = [
            (b"content-length", str(len(self.body)).encode()),
            _CONTENT_TYPES[media_type],
            (b"x-request-id", request_id.encode()),
            *PRIVATE,
            *self.headers,
        ]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})


def answer_of(result: ExecutionResult, media_type: str, path: str = RESOLVER) -> Answer:
    """Return the answer that tells a result."""
    encoded = result if isinstance(result, EncodedResult) else encode(result)
    headers = [(b"idempotency-replayed", b"true")] if encoded.replayed else []
    if (retry_after := _retry_after(result)) is not None:
        headers.append((b"retry-after", str(retry_after).encode()))
    return Answer(encoded.body, path, codes_of(result), _status(result, media_type), headers)


def answer_to(failure: Exception, media_type: str, request_id: str) -> Answer:
    """Return the answer to a request that failed as a whole, foreseen or not."""
    match failure:
        case Refusal():
            return Answer(failure.body, codes=[failure.code], status=failure.status, headers=failure.headers)
        case RateLimited():  # told by the status in every media type
            quota = Quota(failure.limit, failure.window, 0, failure.reset)
            headers = [*quota.headers(), (b"retry-after", str(failure.reset).encode())]
            return answer_of(refused(failure), media_type)._replace(status=429, headers=headers)
        case RequestError():
            return answer_of(refused(failure), media_type)
        case _:
            error = presentable(GraphQLError(str(failure), original_error=failure), request_id)
            return answer_of(PreExecutionError(data=None, errors=[error]), media_type)


def _retry_after(result: ExecutionResult) -> int | None:
    """Return after how many seconds to try again, where the service could not answer."""
    causes = [error.original_error for error in result.errors or ()]
    return next((cause.retry_after for cause in causes if isinstance(cause, RequestError)), None)


def _status(result: ExecutionResult, media_type: str) -> int:
    """Return the status of a response: any that has no data tells so, where the media type is made for it."""
    if _retry_after(result) is not None:
        return 503
    if not isinstance(result, PreExecutionError):
        return 200
    if any(is_internal(error) for error in result.errors or ()):
        return 500
    return 400 if media_type == RESPONSE_JSON else 200
