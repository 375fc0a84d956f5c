"""The judge knows what is right from what is not."""

import re

import orjson
import pytest

from app.settings import ROOT
from tests.fuzz.oracle import CODES, judge
from tests.fuzz.requests import Reply

GOOD = {"message": "`id` is not an ID of this API", "extensions": {"code": "BAD_USER_INPUT"}}
HEADERS = {b"content-type": b"application/json; charset=utf-8", b"x-request-id": b"1"}
PAGE = (ROOT / "docs" / "api.md").read_text()


def reply(result: object, **values: object) -> Reply:
    defaults = {"status": 200, "headers": HEADERS, "body": orjson.dumps(result), "is_complete": True}
    return Reply(**{**defaults, **values})  # type: ignore[arg-type]


@pytest.mark.parametrize("result", [{"data": {"a": 1}}, {"data": None, "errors": [GOOD]}, {"errors": [GOOD]}])
def test_what_is_documented_is_right(result: object) -> None:
    judge(reply(result), "asked")


@pytest.mark.parametrize(
    "wrong",
    [
        reply({}),
        reply([]),
        reply({"errors": []}),
        reply({"errors": [{"message": "x"}]}),
        reply({"errors": [{**GOOD, "message": None}]}),
        reply({"errors": [{**GOOD, "extensions": {"code": "INTERNAL_SERVER_ERROR"}}]}),
        reply({"errors": [{**GOOD, "extensions": {"code": "PAYLOAD_UNREADABLE", "cause": "INTERNAL_SERVER_ERROR"}}]}),
        reply({"errors": [{**GOOD, "message": "KeyError: 'x'"}]}),
        reply({"errors": [{**GOOD, "message": "sqlalchemy.exc: SELECT 1 FROM users"}]}),
        reply({"data": {}}, status=500),
        reply({"data": {}}, is_complete=False),
        reply(None, body=b"Internal Server Error"),
        reply({"data": {}}, headers={b"content-type": b"application/json"}),
    ],
)
def test_anything_else_is_wrong(wrong: Reply) -> None:
    with pytest.raises((AssertionError, KeyError, orjson.JSONDecodeError)):
        judge(wrong, "asked")


def test_the_codes_are_those_of_the_page_for_clients() -> None:
    assert set(re.findall(r"^\| `([A-Z_]+)` \|", PAGE, re.MULTILINE)) >= CODES
