"""Responses that are bytes already, and are passed on as they are."""

from dataclasses import dataclass
from typing import Any

import orjson
from strawberry.http import GraphQLHTTPResponse, process_result
from strawberry.types import ExecutionResult
from strawberry.types.execution import PreExecutionError


@dataclass
class EncodedResult(ExecutionResult):
    """A result whose response has been encoded, to be sent now and again."""

    body: bytes = b""
    replayed: bool = False


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
