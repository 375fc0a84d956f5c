"""docs/api.md tells the truth."""

import re
from typing import Any

import httpx2
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.errors import (
    ConflictCode,
    EventsMissed,
    InputIssueCode,
    Missing,
    OutcomeUnknown,
    RequestError,
    TooManySubscriptions,
)
from app.graphql.http.protocol import Refusal
from app.main import REQUEST_HEADERS, RESPONSE_HEADERS, create_app
from app.settings import ROOT, Settings, Trust
from tests.databases import SingleConnection
from tests.documented import check
from tools.demo import seed_demo

FILE = ROOT / "docs" / "api.md"
PAGE = FILE.read_text()
(CODES,) = re.findall(r"^### Error codes\n(.*?)^## ", PAGE, re.MULTILINE | re.DOTALL)
ROWS = {
    code: (status, done, again)
    for code, status, done, again in re.findall(r"^\| `([A-Z_]+)` \| (.+?) \| (.+?) \| (.+?) \|", CODES, re.MULTILINE)
}
NO_CODES = {"CLIENT_DISCONNECTED", "ROOT_FIELD"}  # the first is for the log alone, the second what a limit is of
# The codes of a Refusal are those of its requests, in REFUSED.
KINDS = [kind for kind in RequestError.__subclasses__() if kind is not Refusal]
OF_STREAMS = (Missing, TooManySubscriptions, EventsMissed)


def asking(query: str, **more: Any) -> dict[str, Any]:
    return {"json": {"query": query, **more}}


REFUSED: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    # a code, the request that is answered with it, and the settings it takes
    ("UNAUTHENTICATED", asking("{ users { totalCount } }"), {}),
    ("UNAUTHENTICATED", {**asking("{ stores { totalCount } }"), "headers": {"Authorization": "Bearer bad"}}, {}),
    ("BAD_USER_INPUT", asking("query ($id: ID!) { node(id: $id) { id } }"), {}),
    ("GRAPHQL_PARSE_FAILED", asking("{"), {}),
    ("GRAPHQL_VALIDATION_FAILED", asking("{ nothing }"), {}),
    ("COST_LIMIT_EXCEEDED", asking("{ stores { nodes { id } } }"), {"cost_limit": 1}),
    ("DEPTH_LIMIT_EXCEEDED", asking("{ stores { nodes { id } } }"), {"depth_limit": 2}),
    ("ROOT_FIELD_LIMIT_EXCEEDED", asking("{ viewer { id } __typename }"), {"root_field_limit": 1}),
    ("ALIAS_LIMIT_EXCEEDED", asking("{ me: viewer { id } }"), {"alias_limit": 0}),
    ("DIRECTIVE_LIMIT_EXCEEDED", asking("{ viewer @skip(if: true) { id } }"), {"directive_limit": 0}),
    ("REPETITION_LIMIT_EXCEEDED", asking("{ __typename __typename }"), {"repetition_limit": 1}),
    ("TOKEN_LIMIT_EXCEEDED", asking("{ viewer { id } }"), {"token_limit": 3}),
    ("INTROSPECTION_DISABLED", asking("{ __schema { description } }"), {"introspection": False}),
    ("DOCUMENT_NOT_TRUSTED", asking("{ viewer { id } }"), {"trusted_documents": Trust.REQUIRE}),
    ("PERSISTED_QUERY_NOT_FOUND", {"json": {"documentId": "0"}}, {}),
    ("PERSISTED_QUERY_NOT_SUPPORTED", {"json": {"documentId": "0"}}, {"trusted_documents": Trust.OFF}),
    ("PERSISTED_QUERY_HASH_MISMATCH", asking("{ viewer { id } }", documentId="0"), {}),
    ("BATCHING_NOT_SUPPORTED", {"json": []}, {}),
    ("METHOD_NOT_ALLOWED", {"method": "DELETE"}, {}),
    (
        "METHOD_NOT_ALLOWED",
        {"method": "GET", "params": {"query": 'mutation { logOut(input: { refreshToken: "" }) { __typename } }'}},
        {},
    ),
    ("NOT_ACCEPTABLE", asking('subscription { productUpdated(productId: "") { product { id } } }'), {}),
    ("REQUEST_TOO_LARGE", asking("#" * 2_000), {"body_limit_kb": 1}),
    ("REQUEST_TOO_LARGE", {"method": "GET", "params": {"query": "#" * 2_000}}, {"body_limit_kb": 1}),
    ("UNSUPPORTED_MEDIA_TYPE", {"data": {"query": "{ viewer { id } }"}}, {}),
]


async def test_every_request_is_answered_as_written(committed_engine: AsyncEngine, database_url: str) -> None:
    await seed_demo(committed_engine)
    await check(FILE, Settings(database_url=database_url))


def test_every_code_is_in_the_table_once() -> None:
    files = [ROOT / "app" / "errors.py", *(ROOT / "app" / "graphql").rglob("*.py")]
    sources = "".join(file.read_text() for file in files)
    in_schema = {*ConflictCode, *InputIssueCode}
    written = {*re.findall(r'"([A-Z]+(?:_[A-Z]+)+)"', sources)} - in_schema - NO_CODES
    known = written | {kind.code for kind in KINDS} | {code for code, *_ in REFUSED}
    assert set(ROWS) == known
    assert all(PAGE.count(f"| `{code}` |") == 1 for code in ROWS)


@pytest.mark.parametrize(("code", "request_", "settings_"), REFUSED)
async def test_the_status_of_a_refusal_is_in_the_table(
    connection: AsyncConnection, settings: Settings, code: str, request_: dict[str, Any], settings_: dict[str, Any]
) -> None:
    app = create_app(settings.model_copy(update=settings_), SingleConnection(connection))
    statuses = []
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://test") as client:
        for media_type in ("application/json", "application/graphql-response+json"):
            asked = {"method": "POST", **request_, "headers": {"Accept": media_type, **request_.get("headers", {})}}
            response = await client.request(url="/graphql", **asked)
            assert [error["extensions"]["code"] for error in response.json()["errors"]] == [code]
            statuses.append(str(response.status_code))
    told = ROWS[code][0]
    assert told == " / ".join(statuses) or {*statuses} == {told} or {*statuses} <= {*told.split(" or ")}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind.code))
def test_what_the_table_says_of_a_failure_is_so(kind: type[RequestError]) -> None:
    status, done, again = ROWS[kind.code]
    expected = "–" if kind in OF_STREAMS else kind.status or 200
    assert status.split()[0] == str(expected)
    assert (done == "no") == (kind is not OutcomeUnknown)
    assert (again == "after `Retry-After`") == (expected in (503, 429))
    assert kind.retry_after is None or expected in ("–", 503, 429)


def test_every_header_is_in_the_tables() -> None:
    (section,) = re.findall(r"^## Headers\n(.*?)^## ", PAGE, re.MULTILINE | re.DOTALL)
    for table, headers in zip(section.split("| you receive"), (REQUEST_HEADERS, RESPONSE_HEADERS), strict=True):
        first_cells = "".join(re.findall(r"^\| (`.*?) \|", table, re.MULTILINE))
        assert {*re.findall(r"`([\w-]+)`", first_cells)} == {*headers}
