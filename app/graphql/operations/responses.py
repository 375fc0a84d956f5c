"""The response to an operation: bytes that every transport sends as they are, and what it needs to know about them."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson
from graphql import GraphQLError

from app.db.engine import raise_fault
from app.errors import RateLimited, RequestError
from app.graphql.errors import presentable
from app.graphql.operations.rate_limits import Quota
from app.monitoring.operation_log import RESOLVER

Extensions = Mapping[str, Any] | None


class Response(NamedTuple):
    """A result of an operation, encoded."""

    body: bytes
    path: str = RESOLVER
    """Which path answered."""
    errors: Sequence[Mapping[str, Any]] = ()
    """As the body has them."""
    codes: Sequence[Any] = ()
    """The codes of the errors."""
    is_executed: bool = True
    """Whether the operation was executed; if not, the body has only errors."""
    has_data: bool = True
    retry_after: int | None = None
    """Seconds after which the client should try again."""
    replayed: bool = False
    """Whether this is the kept response to an earlier request with the same idempotency key."""
    refusal: RequestError | None = None
    """Why the request as a whole was refused."""
    quota: Quota | None = None
    """What is left of the rate limit."""


def encoded(data: Any, errors: Sequence[GraphQLError] = (), extensions: Extensions = None) -> Response:
    """Encode the result of an operation that was executed."""
    formatted = [error.formatted for error in errors]
    body: dict[str, Any] = {"data": data}
    if formatted:
        body["errors"] = formatted
    if extensions:
        body["extensions"] = extensions
    return Response(
        orjson.dumps(body),
        errors=formatted,
        codes=_codes(formatted),
        has_data=data is not None,
        retry_after=_retry_after(errors),
    )


def not_executed(
    errors: Sequence[GraphQLError], extensions: Extensions = None, refusal: RequestError | None = None
) -> Response:
    """Return the response to an operation that was not executed: it has no data, not even null."""
    formatted = [error.formatted for error in errors]
    body: dict[str, Any] = {"errors": formatted}
    if extensions:
        body["extensions"] = extensions
    return Response(
        orjson.dumps(body),
        errors=formatted,
        codes=_codes(formatted),
        is_executed=False,
        has_data=False,
        retry_after=_retry_after(errors),
        refusal=refusal,
    )


def unbegun(response: Response) -> Response:
    """Return the response to a subscription that ends with its first result."""
    body = orjson.dumps({"errors": response.errors})
    return response._replace(body=body, is_executed=False)


def given_up(fault: RequestError, path: str, extensions: Extensions) -> Response:
    """Return the response to an operation that was given up, and undone."""
    return encoded(None, [_error(fault)], extensions)._replace(path=path)


def refused(refusal: RequestError) -> Response:
    """Return the response to a request that is refused as a whole."""
    response = not_executed([_error(refusal)], refusal=refusal)
    if isinstance(refusal, RateLimited):
        quota = Quota(refusal.limit, refusal.window, 0, refusal.reset)
        return response._replace(quota=quota, retry_after=refusal.reset)
    return response


def failed(failure: Exception, request_id: str) -> Response:
    """Return the response to a request that failed as a whole, whether that was foreseen or not."""
    try:
        raise_fault(failure)
    except RequestError as fault:
        failure = fault
    if isinstance(failure, RequestError):
        return refused(failure)
    return not_executed([presentable(GraphQLError(str(failure), original_error=failure), request_id)])


def _error(failure: RequestError) -> GraphQLError:
    return GraphQLError(str(failure), original_error=failure, extensions=failure.extensions)


def _codes(errors: Sequence[Mapping[str, Any]]) -> Sequence[Any]:
    return [error.get("extensions", {}).get("code") for error in errors]


def _retry_after(errors: Sequence[GraphQLError]) -> int | None:
    """Return after how many seconds to try again, where the service could not answer."""
    causes = [error.original_error for error in errors]
    return next((cause.retry_after for cause in causes if isinstance(cause, RequestError)), None)
