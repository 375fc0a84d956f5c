"""GraphQL over HTTP: what a request must look like, and what a response tells beside its data."""

import gzip
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.types import Message

from app.db.models import Store
from app.graphql.operations.documents import Documents
from app.graphql.operations.resolver_path import ResolverPath
from app.main import create_app
from app.settings import Settings
from tests.api import Api
from tests.databases import SingleConnection
from tests.market import Market, gid
from tests.orders.operations import number_of

JSON = {"Content-Type": "application/json"}
RESPONSE_JSON = {"Accept": "application/graphql-response+json"}
MEDIA_TYPES = ["application/json", "application/graphql-response+json"]
TYPENAME = "{ __typename }"
CREATE_STORE = """
mutation Open {
  createStore(input: { name: "A", street: "B", postcode: "1", city: "C", country: "DE", currency: "EUR" }) {
    __typename
  }
}
"""


@pytest.fixture(params=[False, True], ids=["resolver", "compiled"])
async def api(request: pytest.FixtureRequest, connection: AsyncConnection, settings: Settings) -> AsyncIterator[Api]:
    """The application with the compiled path off and on."""
    configuration = settings.model_copy(update={"compiled_path": request.param, "body_limit_kb": 1})
    transport = httpx2.ASGITransport(app=create_app(configuration, SingleConnection(connection)))
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        yield Api(client, configuration)


def assert_refused(response: httpx2.Response, status: int, code: str, media_type: str = "application/json") -> None:
    """The response is an error in JSON, and nothing else."""
    assert (response.status_code, response.headers["Content-Type"]) == (status, f"{media_type}; charset=utf-8")
    (error,) = response.json()["errors"]
    assert response.json().keys() == {"errors"}
    assert error["message"]
    assert error["extensions"] == {"code": code}


async def post(api: Api, body: bytes, headers: dict[str, str] | None = None) -> httpx2.Response:
    return await api.client.post("/graphql", content=body, headers=JSON if headers is None else headers)


async def get(api: Api, parameters: dict[str, str], headers: dict[str, str] | None = None) -> httpx2.Response:
    return await api.client.get(
        "/graphql", params=parameters, headers={"Accept": "application/json", **(headers or {})}
    )


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nonsense",
        b"\xff\xfe",
        b'{"query": "{ __typename }"} {}',
        b'{"query": NaN}',
        b'{"query": "\\ud800"}',
        b'{"query": "{ node(id: \\"\\udfff\\") { id } }"}',
        b'{"query": "query ($id: ID!) { node(id: $id) { id } }", "variables": {"id": "\\ud800"}}',
        b'{"query": "query ($id: ID!) { node(id: $id) { id } }", "variables": {"id": 1e400}}',
        b"[" * 1000,
        b'{"a":' * 200,
    ],
)
async def test_a_body_that_is_not_json_is_refused(api: Api, body: bytes) -> None:
    for media_type in MEDIA_TYPES:
        response = await post(api, body, {**JSON, "Accept": media_type})
        assert_refused(response, 400, "BAD_USER_INPUT", media_type)


@pytest.mark.parametrize("body", [b"5", b"null", b"true", b'"{ __typename }"'])
async def test_a_body_that_is_no_object_is_refused(api: Api, body: bytes) -> None:
    assert_refused(await post(api, body), 400, "BAD_USER_INPUT")


async def test_a_list_of_operations_runs_none_of_them(api: Api, market: Market, connection: AsyncConnection) -> None:
    token = api.token(await market.user())

    response = await post(
        api, json.dumps([{"query": CREATE_STORE}] * 2).encode(), {**JSON, "Authorization": f"Bearer {token}"}
    )

    assert_refused(response, 400, "BATCHING_NOT_SUPPORTED")
    assert_refused(await post(api, b"[]"), 400, "BATCHING_NOT_SUPPORTED")
    assert await number_of(connection, Store) == 0


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"query": None},
        {"query": ""},
        {"query": 5},
        {"query": [TYPENAME]},
        {"query": {"a": 1}},
        {"query": TYPENAME, "variables": []},
        {"query": TYPENAME, "variables": "{}"},
        {"query": TYPENAME, "variables": 5},
        {"query": TYPENAME, "operationName": 5},
        {"query": TYPENAME, "extensions": 5},
        {"query": TYPENAME, "extensions": []},
    ],
)
async def test_a_request_whose_parameters_are_not_as_they_must_be_is_refused(
    api: Api, request_: dict[str, Any]
) -> None:
    for media_type in MEDIA_TYPES:
        response = await api.client.post("/graphql", json=request_, headers={"Accept": media_type})
        assert_refused(response, 400, "BAD_USER_INPUT", media_type)


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"query": "{"}, "GRAPHQL_PARSE_FAILED"),
        ({"query": "{ nothing }"}, "GRAPHQL_VALIDATION_FAILED"),
        ({"query": "query ($id: ID!) { node(id: $id) { id } }"}, "BAD_USER_INPUT"),
        ({"query": TYPENAME, "operationName": "Other"}, "BAD_USER_INPUT"),
        ({"query": "query A { __typename } query B { __typename }"}, "BAD_USER_INPUT"),
        ({"query": "query A { __typename } mutation B { __typename }", "operationName": "C"}, "BAD_USER_INPUT"),
        ({"query": "fragment F on Query { __typename }"}, "GRAPHQL_VALIDATION_FAILED"),
    ],
)
async def test_an_operation_that_cannot_be_executed_has_no_data(api: Api, request_: dict[str, Any], code: str) -> None:
    for media_type, status in zip(MEDIA_TYPES, (200, 400), strict=True):
        response = await api.client.post("/graphql", json=request_, headers={"Accept": media_type})
        assert (response.status_code, "data" in response.json()) == (status, False)
        assert response.headers["Content-Type"].startswith(media_type)
        assert {error["extensions"]["code"] for error in response.json()["errors"]} == {code}


async def test_of_several_operations_the_first_is_not_run_unless_it_is_named(
    api: Api, market: Market, connection: AsyncConnection
) -> None:
    user = await market.user()
    document = f"{CREATE_STORE} query Read {{ __typename }}"

    result = await api.execute(document, user=user)

    assert result["errors"][0]["extensions"] == {"code": "BAD_USER_INPUT"}
    assert await number_of(connection, Store) == 0


@pytest.mark.parametrize(("field", "query"), [("users", "{ users { totalCount } }"), ("createStore", CREATE_STORE)])
async def test_what_was_executed_is_answered_with_200_even_if_every_field_is_null(
    api: Api, field: str, query: str
) -> None:
    response = await api.send(query, headers=RESPONSE_JSON)

    assert (response.status_code, response.json()["data"]) == (200, {field: None})
    assert [error["path"] for error in response.json()["errors"]] == [[field]]


@pytest.mark.parametrize("variables", [None, {}, {"unused": 1}])
async def test_variables_may_be_left_out(api: Api, variables: Any) -> None:
    response = await api.client.post("/graphql", json={"query": TYPENAME, "variables": variables})

    assert (response.status_code, response.json()["data"]) == (200, {"__typename": "Query"})


async def test_what_is_compressed_is_refused_as_such(api: Api) -> None:
    body, headers = json.dumps({"query": "{ __typename }"}).encode(), {"Content-Type": "application/json"}

    response = await post(api, gzip.compress(body), {**headers, "Content-Encoding": "gzip"})

    assert_refused(response, 415, "UNSUPPORTED_MEDIA_TYPE")
    assert response.headers["Accept-Encoding"] == "identity"
    assert (await post(api, body, {**headers, "Content-Encoding": "Identity"})).status_code == 200


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=application/json",
        "text/plain; application/json",
        "application/json; charset=utf-16",
        "application/jsonp",
        "application/graphql",
    ],
)
async def test_what_any_page_on_the_web_could_send_is_refused(
    api: Api, market: Market, connection: AsyncConnection, content_type: str | None
) -> None:
    headers = {"Authorization": f"Bearer {api.token(await market.user())}"}
    if content_type:
        headers["Content-Type"] = content_type

    response = await post(api, json.dumps({"query": CREATE_STORE}).encode(), headers)

    assert_refused(response, 415, "UNSUPPORTED_MEDIA_TYPE")
    assert await number_of(connection, Store) == 0


@pytest.mark.parametrize("content_type", ["application/json;charset=UTF-8", 'Application/JSON; charset="utf-8"; a'])
async def test_json_may_say_that_it_is_utf_8(api: Api, content_type: str) -> None:
    response = await post(api, json.dumps({"query": TYPENAME}).encode(), {"Content-Type": content_type})

    assert response.json()["data"] == {"__typename": "Query"}


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("application/*", "application/json"),
        ("application/json", "application/json"),
        ("APPLICATION/JSON; charset=UTF-8", "application/json"),
        ("application/graphql-response+json, application/json;q=0.9", "application/graphql-response+json"),
        ("application/json, application/graphql-response+json", "application/graphql-response+json"),
        ("application/graphql-response+json;q=0.2, application/json;q=0.4", "application/json"),
        ("application/graphql-response+json;q=0, */*;q=0.1", "application/json"),
        ("application/graphql-response+json; q=0.1, */*; q=0", "application/graphql-response+json"),
        ("application/graphql-response+json, text/event-stream, multipart/mixed", "application/graphql-response+json"),
        ("text/html, */*;q=0.001", "application/json"),
        (f"{'text/plain, ' * 100}application/json", "application/json"),
        ("text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", "application/json"),  # Java's HttpURLConnection
        ("*", "application/json"),
        ("application/json;q=.5, application/graphql-response+json;q=.50", "application/graphql-response+json"),
    ],
)
async def test_the_client_chooses_the_media_type(api: Api, accept: str, media_type: str) -> None:
    response = await api.send(TYPENAME, headers={"Accept": accept})

    assert response.headers["Content-Type"] == f"{media_type}; charset=utf-8"
    assert response.json()["data"] == {"__typename": "Query"}


@pytest.mark.parametrize(
    "accept",
    [
        "text/html",
        "text/plain",
        "multipart/mixed",
        "application/json;q=0",
        "application/json;q=nan",
        "application/json;q=.",
        "application/json, *;q=0, application/json;q=0.",
        "application/json;charset=utf-16",
        "," * 600,
    ],
)
async def test_what_the_client_does_not_take_is_not_made(
    api: Api, market: Market, connection: AsyncConnection, accept: str
) -> None:
    response = await api.send(CREATE_STORE, user=await market.user(), headers={"Accept": accept})

    assert_refused(response, 406, "NOT_ACCEPTABLE")
    assert await number_of(connection, Store) == 0


@pytest.mark.parametrize(
    ("lines", "media_type"),
    [
        (["text/plain", "application/json"], "application/json"),
        (["application/json;q=0.5", "application/graphql-response+json"], "application/graphql-response+json"),
    ],
)
async def test_several_lines_of_accept_are_one_list(api: Api, lines: list[str], media_type: str) -> None:
    headers = httpx2.Headers([*JSON.items(), *(("Accept", line) for line in lines)])
    response = await api.client.post("/graphql", json={"query": TYPENAME}, headers=headers)

    assert response.headers["Content-Type"] == f"{media_type}; charset=utf-8"


async def test_a_byte_order_mark_before_json_is_skipped(api: Api) -> None:
    body = json.dumps({"query": "\ufeff{ __typename }"}).encode()
    sent = await post(api, b"\xef\xbb\xbf" + body)
    fetched = await get(api, {"query": TYPENAME, "variables": "\ufeff{}"})

    assert [response.json()["data"] for response in (sent, fetched)] == [{"__typename": "Query"}] * 2


async def test_only_a_browser_is_shown_the_page(api: Api) -> None:
    browser = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
    page = await api.client.get("/graphql", params={"query": TYPENAME}, headers=browser)
    others = [
        await api.client.get("/graphql", params={"query": TYPENAME}),
        await api.client.get("/graphql", params={"query": TYPENAME}, headers={"Accept": "text/html;q=0.9, */*"}),
        await api.send(TYPENAME, headers=browser),
    ]

    assert page.headers["Content-Type"].startswith("text/html")
    assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
    assert [response.json()["data"] for response in others] == [{"__typename": "Query"}] * 3


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_subscription_is_not_one_whole(api: Api, method: str) -> None:
    id = "Product_01970000-0000-7000-8000-000000000000"
    query = f'subscription {{ productUpdated(productId: "{id}") {{ product {{ id }} }} }}'
    sent = {"params": {"query": query}} if method == "GET" else {"json": {"query": query}}

    assert_refused(await api.client.request(method, "/graphql", **sent), 406, "NOT_ACCEPTABLE")  # type: ignore[arg-type]


async def test_text_of_any_language_comes_back_as_it_was(api: Api, market: Market) -> None:
    name = 'Ærø Käse 奶酪 🧀 "ab" \\ </script> \u2028'
    product = await market.product(name=name)

    response = await api.send("query ($id: ID!) { product(id: $id) { name } }", {"id": gid(product)})

    assert response.json()["data"]["product"]["name"] == name


async def test_a_query_may_be_sent_by_get(api: Api, market: Market) -> None:
    product = await market.product(name="Bread")
    query = "query Other { __typename } query One($id: ID!) { product(id: $id) { name } }"

    variables = json.dumps({"id": gid(product)})

    response = await get(api, {"query": query, "variables": variables, "operationName": "One"})

    assert (response.status_code, response.json()["data"]) == (200, {"product": {"name": "Bread"}})


@pytest.mark.parametrize(
    "parameters",
    [{"query": CREATE_STORE}, {"query": f"query Read {{ __typename }} {CREATE_STORE}", "operationName": "Open"}],
)
async def test_a_mutation_by_get_is_refused(
    api: Api, market: Market, connection: AsyncConnection, parameters: dict[str, str]
) -> None:
    authorization = {"Authorization": f"Bearer {api.token(await market.user())}"}

    response = await get(api, parameters, authorization)

    assert_refused(response, 405, "METHOD_NOT_ALLOWED")
    assert response.headers["Allow"] == "POST"
    assert await number_of(connection, Store) == 0


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"query": ""},
        {"query": TYPENAME, "variables": "nonsense"},
        {"query": TYPENAME, "variables": "[1]"},
        {"query": TYPENAME, "variables": "5"},
        {"query": TYPENAME, "variables": '{"a": "\\ud800"}'},
        {"query": TYPENAME, "extensions": "5"},
    ],
)
async def test_a_malformed_get_is_refused(api: Api, parameters: dict[str, str]) -> None:
    assert_refused(await get(api, parameters), 400, "BAD_USER_INPUT")


async def test_a_get_that_is_not_utf_8_is_refused(api: Api) -> None:
    assert_refused(await api.client.get("/graphql?query=%7B__typename%7D%ff"), 400, "BAD_USER_INPUT")


async def test_parameters_of_a_get_may_be_empty(api: Api) -> None:
    response = await get(api, {"query": TYPENAME, "variables": "", "operationName": "", "extensions": ""})

    assert response.json()["data"] == {"__typename": "Query"}


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "QUERY"])
async def test_no_other_method_is_served(api: Api, method: str) -> None:
    response = await api.client.request(method, "/graphql", json={"query": TYPENAME})

    assert_refused(response, 405, "METHOD_NOT_ALLOWED")
    assert response.headers["Allow"] == "GET, POST"
    assert (await api.client.head("/graphql")).status_code == 405


def of_size(size: int) -> bytes:
    """A request whose body has this many bytes."""
    return json.dumps({"query": TYPENAME}).encode().ljust(size)


class Chunks:
    """A body that is sent piece by piece, without saying how long it is; knows how many pieces were taken."""

    def __init__(self, *pieces: bytes) -> None:
        self.taken = 0
        self._pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            self.taken += 1
            yield piece


async def test_a_body_may_be_as_large_as_the_limit_but_no_larger(api: Api) -> None:
    assert (await post(api, of_size(1024))).json()["data"] == {"__typename": "Query"}
    assert_refused(await post(api, of_size(1025)), 413, "REQUEST_TOO_LARGE")


async def test_a_body_in_pieces_is_no_way_around_the_limit(api: Api) -> None:
    fits, too_large = Chunks(of_size(512), b" " * 512), Chunks(of_size(512), b" " * 513)

    assert (await api.client.post("/graphql", content=fits, headers=JSON)).json()["data"] == {"__typename": "Query"}
    assert_refused(await api.client.post("/graphql", content=too_large, headers=JSON), 413, "REQUEST_TOO_LARGE")


@pytest.mark.parametrize("announced", [True, False])
async def test_of_a_body_that_is_too_large_no_more_is_read_than_tells_so(api: Api, announced: bool) -> None:
    taken, sent = 0, []

    async def receive() -> Message:
        nonlocal taken
        taken += 1
        return {"type": "http.request", "body": b" " * 600, "more_body": True}

    async def send(message: Message) -> None:
        sent.append(message)

    length = [(b"content-length", b"1000000")] if announced else []
    headers = [(b"content-type", b"application/json"), *length]
    scope = {"type": "http", "method": "POST", "path": "/graphql", "headers": headers, "query_string": b""}
    await api.client._transport.app(scope, receive, send)  # type: ignore[attr-defined]  # of the transport that it is

    assert (sent[0]["status"], taken) == (413, 0 if announced else 2)


async def test_a_client_that_goes_while_it_sends_is_not_answered(api: Api) -> None:
    messages: list[Message] = [{"type": "http.disconnect"}, {"type": "http.request", "body": b"{", "more_body": True}]
    sent = []

    async def receive() -> Message:
        return messages.pop()

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/graphql", "headers": headers, "query_string": b""}
    await api.client._transport.app(scope, receive, send)  # type: ignore[attr-defined]  # of the transport that it is

    assert (sent, messages) == ([], [])


async def test_a_query_string_may_be_as_long_as_a_body(api: Api) -> None:
    assert (await api.client.get(f"/graphql?query=%7B__typename%7D&x={'x' * 900}")).status_code == 200
    response = await api.client.get(f"/graphql?query=%7B__typename%7D&x={'x' * 1024}")
    assert_refused(response, 414, "REQUEST_TOO_LARGE")


async def test_of_a_repeated_header_the_first_counts(api: Api, market: Market) -> None:
    first, second = await market.user(), await market.user()
    tokens = [("Authorization", f"Bearer {api.token(user)}") for user in (first, second)]

    response = await api.client.post(
        "/graphql", json={"query": "{ viewer { id } }"}, headers=httpx2.Headers([*tokens, *JSON.items()])
    )

    assert response.json()["data"] == {"viewer": {"id": gid(first)}}


async def test_every_response_has_a_request_id_of_its_own(api: Api) -> None:
    responses = [
        await api.send(TYPENAME),
        await api.send(TYPENAME),
        await api.send("{ nothing }"),
        await api.send("{"),
        await get(api, {"query": TYPENAME}),
    ]

    ids = [response.headers["X-Request-ID"] for response in responses]
    assert all(len(id) >= 16 for id in ids)
    assert len(set(ids)) == len(ids)


async def test_no_response_has_the_id_that_the_client_gave(api: Api) -> None:
    headers = {"X-Request-ID": "7f3c.web_1-2"}
    responses = [
        await api.send(TYPENAME, headers=headers),
        await api.send("{", headers=headers),
        await api.client.post("/graphql", headers=headers),
        await api.client.put("/graphql", headers=headers),
        await get(api, {"query": TYPENAME}, headers),
        await api.client.get("/graphql", headers={**headers, "Accept": "text/html"}),
        await api.client.get("/graphql/assets/nothing", headers=headers),
        await api.client.get("/livez", headers=headers),
        await api.client.get("/nothing", headers=headers),
    ]

    ids = [id for response in responses for id in response.headers.get_list("X-Request-ID")]
    assert all(re.fullmatch("[0-9a-f]{32}", id) for id in ids)
    assert len(set(ids)) == len(responses)


async def test_no_response_is_kept_or_taken_for_something_else(api: Api) -> None:
    responses = [
        await api.send(TYPENAME),
        await api.send("{"),
        await get(api, {"query": TYPENAME}),
        await api.client.put("/graphql"),
        await api.client.get("/livez"),
    ]

    for response in responses:
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("accept", ["application/json", "application/json;q=0.5, text/event-stream;q=0.4"])
@pytest.mark.parametrize(("owner", "name"), [(ResolverPath, "execute"), (Documents, "read")])
async def test_what_fails_beside_the_execution_is_told_as_the_id_of_the_request(
    api: Api, monkeypatch: pytest.MonkeyPatch, owner: type, name: str, accept: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the safe is behind the painting")

    monkeypatch.setattr(owner, name, fail)

    response = await api.send("mutation { __typename }", headers={"Accept": accept})

    request_id = response.headers["X-Request-ID"]
    (error,) = response.json()["errors"]
    assert response.status_code == 500
    assert error["extensions"] == {"code": "INTERNAL_SERVER_ERROR", "requestId": request_id}
    assert "safe" not in response.text
