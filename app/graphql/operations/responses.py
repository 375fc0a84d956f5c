"""The response to an operation: bytes that every transport sends as they are, and what it needs to know about them."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple

import orjson
from graphql import GraphQLError

from app.db.engine import raise_fault
from app.errors import RateLimited, RequestError
from app.graphql.errors import presentable
from app.graphql.operations.rate_limits import Quota
from app.monitoring.operation_log import COMPILED, RESOLVER
from app.replicas.tokens import EXTENSION as CONSISTENCY_TOKEN


class Response(NamedTuple):
    """A result of an operation, encoded."""

    body: bytes
    path: str = RESOLVER
    """Which path answered."""
    errors: Sequence[Mapping[str, Any]] = ()
    """As the body has them."""
    codes: Sequence[Any] = ()
    """The codes of the errors; where an error names its cause, that of the cause."""
    is_executed: bool = True
    """Whether the operation was executed; if not, the body has only errors."""
    has_data: bool = True
    replayed: bool = False
    """Whether this is the kept response to an earlier request with the same idempotency key."""
    failure: RequestError | None = None
    """Why the request as a whole failed, which may ask for a status and headers of its own."""
    quota: Quota | None = None
    """What is left of the rate limit."""
    consistency_token: str | None = None
    """What a query sends to see what this mutation did."""


def encoded(
    data: Any, errors: Sequence[GraphQLError] = (), extensions: Mapping[str, Any] = {}, *, is_executed: bool = True
) -> Response:
    """Encode the result of an operation; where it was not executed there is no data, not even null."""
    formatted = [error.formatted for error in errors]
    body: dict[str, Any] = {"data": data} if is_executed else {}
    if formatted:
        body["errors"] = formatted
    if extensions:
        body["extensions"] = extensions
    causes = [error.original_error for error in errors if isinstance(error.original_error, RequestError)]
    # The failure of a part is that of the request only where the service itself is unavailable.
    failures = [cause for cause in causes if not is_executed or cause.status == HTTPStatus.SERVICE_UNAVAILABLE]
    return Response(
        memoryview(orjson.dumps(body)).tobytes(),  # orjson's own takes 4 kB, and a subscription may keep it
        errors=formatted,
        codes=_codes(formatted),
        is_executed=is_executed,
        has_data=data is not None,
        failure=next(iter(failures), None),
        consistency_token=extensions.get(CONSISTENCY_TOKEN),
    )


def replayed(body: bytes) -> Response:
    """Return the kept response to an earlier request, with the token that it had."""
    token = orjson.loads(body).get("extensions", {}).get(CONSISTENCY_TOKEN)
    return Response(body, replayed=True, consistency_token=token)


def completed(data: bytes, errors: Sequence[Mapping[str, Any]], extensions: Mapping[str, Any]) -> Response:
    """Complete the data that the compiled path returned, as JSON, to a response."""
    listed = b',"errors":%b' % orjson.dumps(errors) if errors else b""
    body = b'%b%b,"extensions":%b}' % (data[:-1], listed, orjson.dumps(extensions))
    return Response(body, COMPILED, errors=errors, codes=_codes(errors)) if errors else Response(body, COMPILED)


def given_up(fault: RequestError, extensions: Mapping[str, Any] = {}, path: str = RESOLVER) -> Response:
    """Return the response to an operation that was given up, and undone."""
    return encoded(None, [error_of(fault)], extensions)._replace(path=path)


def refused(refusal: RequestError) -> Response:
    """Return the response to a request that is refused as a whole."""
    response = encoded(None, [error_of(refusal)], is_executed=False)
    if isinstance(refusal, RateLimited):
        return response._replace(quota=Quota(refusal.limit, refusal.window, refusal.remaining, refusal.reset))
    return response


def failed(failure: Exception, request_id: str) -> Response:
    """Return the response to a request that failed as a whole, whether that was foreseen or not."""
    try:
        raise_fault(failure)
    except RequestError as fault:
        failure = fault
    if isinstance(failure, RequestError):
        return refused(failure)
    error = presentable(GraphQLError(str(failure), original_error=failure), request_id)
    return encoded(None, [error], is_executed=False)


def _codes(errors: Sequence[Mapping[str, Any]]) -> Sequence[Any]:
    """Return what went wrong: operators need the cause, whether or not the mutation took effect."""
    extensions = [error.get("extensions", {}) for error in errors]
    return [each.get("cause", each.get("code")) for each in extensions]


def error_of(failure: RequestError) -> GraphQLError:
    """Return the error that reports a failure of the request as a whole."""
    return GraphQLError(str(failure), original_error=failure, extensions=failure.extensions)
