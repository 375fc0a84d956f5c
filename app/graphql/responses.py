"""Responses that are bytes already, and are passed on as they are."""

from dataclasses import dataclass
from typing import Any

import orjson
from strawberry.http import process_result
from strawberry.types import ExecutionResult


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
    body = orjson.dumps(process_result(result))
    return EncodedResult(data=result.data, errors=result.errors, extensions=result.extensions, body=body)
