"""What every answer must be, whatever was asked."""

import re
from collections.abc import Sequence
from typing import Any

import orjson

from tests.fuzz.requests import Reply

STATUSES = {200, 400, 404, 405, 406, 413, 414, 415, 429, 503}
CODES = {
    "BAD_USER_INPUT",
    "BATCHING_NOT_SUPPORTED",
    "FORBIDDEN",
    "GRAPHQL_PARSE_FAILED",
    "GRAPHQL_VALIDATION_FAILED",
    "METHOD_NOT_ALLOWED",
    "NOT_ACCEPTABLE",
    "NOT_FOUND",
    "PAYLOAD_UNREADABLE",
    "PERSISTED_QUERY_HASH_MISMATCH",
    "PERSISTED_QUERY_NOT_FOUND",
    "REQUEST_TOO_LARGE",
    "SUBSCRIPTION_LIMIT",
    "UNAUTHENTICATED",
    "UNSUPPORTED_MEDIA_TYPE",
    *(
        f"{what}_LIMIT_EXCEEDED"
        for what in ("ALIAS", "COST", "DEPTH", "DIRECTIVE", "REPETITION", "ROOT_FIELD", "TOKEN")
    ),
}
"""Those that a client may be told; INTERNAL_SERVER_ERROR and TRANSACTION_CONFLICT are none that it can bring about."""
INSIDE = re.compile(
    r"Traceback|[a-z](?:Error|Exception)\b|<class |object at 0x|\b(?:sqlalchemy|asyncpg|strawberry|orjson|sys)\."
    r"|\bSELECT .* FROM\b|INSERT INTO|recursion"
)
"""What only somebody inside would say."""


def judge(reply: Reply, asked: object) -> None:
    """Fail unless the response to a GraphQL request is one that a client can understand."""
    assert reply.is_complete, asked
    assert reply.status in STATUSES, (reply, asked)
    assert reply.headers[b"x-request-id"], asked
    media_type = reply.headers[b"content-type"].partition(b";")[0]
    if media_type == b"text/event-stream":
        for event in re.findall(rb"^data: ?(\S[^\r\n]*)", reply.body, re.MULTILINE):
            judge_result(orjson.loads(event), asked)
    elif media_type != b"text/html":
        assert media_type in (b"application/json", b"application/graphql-response+json"), (reply, asked)
        judge_result(reply.json, asked)


def judge_result(result: Any, asked: object) -> None:
    """Fail unless a result has data or errors."""
    assert isinstance(result, dict), (result, asked)
    assert result.keys() <= {"data", "errors", "extensions"}, (result, asked)
    assert "data" in result or "errors" in result, (result, asked)
    if "errors" in result:
        judge_errors(result["errors"], asked)


def judge_errors(errors: Sequence[Any], asked: object) -> None:
    """Fail unless each error says what is wrong, with a code, and nothing of what is inside."""
    assert errors, asked
    for error in errors:
        assert isinstance(error["message"], str), (error, asked)
        assert error["extensions"]["code"] in CODES, (error, asked)
        assert error["extensions"].get("cause", "FORBIDDEN") in CODES, (error, asked)
        assert not INSIDE.search(error["message"]), (error, asked)
