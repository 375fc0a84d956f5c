"""Results of operations: those without data, and those that are bytes already, which are passed on as they are."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from graphql import GraphQLError
from strawberry.http import GraphQLHTTPResponse, process_result
from strawberry.types import ExecutionResult
from strawberry.types.execution import PreExecutionError

from app.errors import RequestError


@dataclass
class EncodedResult(ExecutionResult):
    """A result whose response has been encoded, to be sent now and again."""

    body: bytes = b""
    replayed: bool = False


def refused(failure: RequestError) -> PreExecutionError:
    """Return the result of what was not executed."""
    return PreExecutionError(data=None, errors=[_error(failure)])


def given_up(failure: RequestError, extensions: Mapping[str, Any] | None) -> ExecutionResult:
    """Return the result of what was being executed, and was not done."""
    return ExecutionResult(data=None, errors=[_error(failure)], extensions=dict(extensions or {}))


def _error(failure: RequestError) -> GraphQLError:
    return GraphQLError(str(failure), original_error=failure, extensions=failure.extensions)


def extended(body: bytes, **extensions: Any) -> bytes:
    """Return a response that has only data with these extensions."""
    return b'%b,"extensions":%b}' % (body[:-1], orjson.dumps(extensions))


def encode(result: ExecutionResult) -> EncodedResult:
    """Return the result with the bytes of its response."""
    body = orjson.dumps(response_of(result))
    return EncodedResult(data=result.data, errors=result.errors, extensions=result.extensions, body=body)


def response_of(result: ExecutionResult) -> GraphQLHTTPResponse:
    """Return the response to an operation; without data, not even null, where it was not executed."""
    response = process_result(result)
    if isinstance(result, PreExecutionError):
        del response["data"]
    return response
