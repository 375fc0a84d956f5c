"""Responses that are bytes already, and are passed on as they are."""

from dataclasses import dataclass

import orjson
from strawberry.http import process_result
from strawberry.types import ExecutionResult


@dataclass
class EncodedResult(ExecutionResult):
    """A result whose response has been encoded, to be sent now and again."""

    body: bytes = b""
    replayed: bool = False


def encode(result: ExecutionResult) -> EncodedResult:
    """Return the result with the bytes of its response."""
    body = orjson.dumps(process_result(result))
    return EncodedResult(data=result.data, errors=result.errors, extensions=result.extensions, body=body)
