"""Documents that are named by hashes are the same documents; and where only those are trusted, nothing else runs."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.graphql.operations.trusted import TrustedDocuments
from app.main import create_app
from app.settings import Settings, Trust
from tests.api import Api
from tests.databases import SingleConnection
from tests.market import Market, gid
from tests.statements import Statements


def hash_of(document: str) -> str:
    return sha256(document.encode()).hexdigest()


PRODUCT = "query ($id: ID!) { product(id: $id) { name } }"
NAME = "query ($id: ID!) { product(id: $id) { id name } }"
ORDER = "mutation ($id: ID!) { placeOrder(input: {items: [{productId: $id, quantity: 1}]}) { __typename } }"
MANIFEST = {"of-the-product": PRODUCT, "9d2f0c": ORDER, f"sha256:{hash_of(NAME)}": NAME}
Serve = Callable[[Trust], Awaitable[Api]]


def persisted(document: str) -> Any:
    return {"persistedQuery": {"version": 1, "sha256Hash": hash_of(document)}}


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    file = tmp_path / "documents.json"
    file.write_text(json.dumps(MANIFEST))
    return file


@pytest.fixture(params=[False, True], ids=["resolver", "compiled"])
async def serve(
    connection: AsyncConnection, settings: Settings, manifest: Path, request: pytest.FixtureRequest
) -> AsyncIterator[Serve]:
    clients = []

    async def serve(trust: Trust) -> Api:
        changed = {"trusted_documents": trust, "trusted_documents_file": manifest, "compiled_path": request.param}
        app = create_app(settings.model_copy(update=changed), SingleConnection(connection))
        client = httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://test")
        clients.append(client)
        return Api(client, settings)

    yield serve
    for client in clients:
        await client.aclose()


async def post(api: Api, **request: Any) -> Any:
    """Return the result of a request as it is given."""
    response = await api.client.post("/graphql", json=request)
    assert response.status_code == 200, response.text
    return response.json()


def code(result: Any) -> str:
    assert "data" not in result
    (error,) = result["errors"]
    return str(error["extensions"]["code"])


@pytest.mark.parametrize("trust", [Trust.ALLOW, Trust.REQUIRE])
async def test_a_document_of_the_manifest_is_named_by_its_hash(serve: Serve, market: Market, trust: Trust) -> None:
    api, product = await serve(trust), await market.product(name="Bread")
    variables = {"id": gid(product)}

    results = [
        await post(api, documentId="of-the-product", variables=variables),
        await post(api, documentId="sha256:of-the-product", variables=variables),
        await post(api, query=None, documentId="of-the-product", variables=variables),
        await post(api, extensions={"persistedQuery": {"sha256Hash": "of-the-product"}}, variables=variables),
        await post(api, query=PRODUCT, documentId="of-the-product", variables=variables),
        await post(api, query=PRODUCT, variables=variables),
    ]

    assert [result["data"] for result in results] == [{"product": {"name": "Bread"}}] * 6


async def test_a_manifest_may_say_of_a_hash_which_one_it_is(serve: Serve, market: Market) -> None:
    api, product = await serve(Trust.REQUIRE), await market.product(name="Bread")

    for hash_ in (hash_of(NAME), f"sha256:{hash_of(NAME)}"):
        result = await post(api, documentId=hash_, variables={"id": gid(product)})
        assert result["data"] == {"product": {"id": gid(product), "name": "Bread"}}


async def test_it_may_be_named_in_an_url(serve: Serve, market: Market) -> None:
    api, product = await serve(Trust.REQUIRE), await market.product(name="Bread")
    variables = json.dumps({"id": gid(product)})

    for named in (
        {"documentId": "of-the-product"},
        {"extensions": json.dumps({"persistedQuery": {"version": 1, "sha256Hash": "of-the-product"}})},
    ):
        response = await api.client.get("/graphql", params={**named, "variables": variables})
        assert response.json()["data"] == {"product": {"name": "Bread"}}


async def test_what_streams_may_be_named_as_well(serve: Serve, market: Market) -> None:
    api, product = await serve(Trust.REQUIRE), await market.product(name="Bread")
    request = {"documentId": "of-the-product", "variables": {"id": gid(product)}}
    headers = {"Accept": "text/event-stream"}

    response = await api.client.post("/graphql", json=request, headers=headers)
    refused = await api.client.post("/graphql", json={"query": "{ __typename }"}, headers=headers)

    assert '"data":{"product":{"name":"Bread"}}' in response.text
    assert "DOCUMENT_NOT_TRUSTED" in refused.text


async def test_what_was_sent_with_its_hash_once_is_named_by_it_from_then_on(serve: Serve) -> None:
    api, query = await serve(Trust.ALLOW), "{ products { totalCount } }"
    assert code(await post(api, extensions=persisted(query))) == "PERSISTED_QUERY_NOT_FOUND"

    sent = await post(api, query=query, extensions=persisted(query))

    assert await post(api, extensions=persisted(query)) == sent
    assert sent["data"] == {"products": {"totalCount": 0}}


async def test_clients_know_the_messages(serve: Serve) -> None:
    unknown = await post(await serve(Trust.ALLOW), extensions=persisted("{ a }"))
    unsupported = await post(await serve(Trust.OFF), extensions=persisted("{ a }"))

    assert unknown["errors"][0]["message"] == "PersistedQueryNotFound"
    assert unsupported["errors"][0]["message"] == "PersistedQueryNotSupported"


async def test_a_hash_is_believed_of_its_own_document_only(serve: Serve, market: Market) -> None:
    api, product = await serve(Trust.ALLOW), await market.product(name="Bread")
    harmful = "query ($id: ID!) { product(id: $id) { id } }"

    for name in ("of-the-product", hash_of(PRODUCT), "no hash at all"):
        assert code(await post(api, query=harmful, documentId=name)) == "PERSISTED_QUERY_HASH_MISMATCH"

    result = await post(api, documentId="of-the-product", variables={"id": gid(product)})
    assert result["data"] == {"product": {"name": "Bread"}}


async def test_nothing_else_runs_where_trust_is_required(
    serve: Serve, market: Market, connection: AsyncConnection, statements: Statements
) -> None:
    api = await serve(Trust.REQUIRE)
    variables = {"id": gid(await market.product())}
    statements.clear()

    codes = [
        code(await post(api, query=PRODUCT + " ", variables=variables)),
        code(await post(api, query=PRODUCT.replace("name", "price { amount }"), variables=variables)),
        code(await post(api, query="{ __typename }", documentId="of-the-product")),
        code(await post(api, query="{ __typename }", extensions=persisted("{ __typename }"))),
        code(await post(api, extensions=persisted("{ __typename }"))),
        code(await post(api, query="{ __schema { queryType { name } } }")),
    ]

    assert codes == ["DOCUMENT_NOT_TRUSTED"] * 4 + ["PERSISTED_QUERY_NOT_FOUND", "DOCUMENT_NOT_TRUSTED"]
    assert statements == []


async def test_where_trust_is_off_documents_run_and_hashes_mean_nothing(serve: Serve) -> None:
    api = await serve(Trust.OFF)

    assert code(await post(api, documentId="of-the-product")) == "PERSISTED_QUERY_NOT_SUPPORTED"
    result = await post(api, query="{ __typename }", documentId="of-the-product")
    assert result["data"] == {"__typename": "Query"}


async def test_a_document_is_limited_however_it_is_named(serve: Serve) -> None:
    api, query = await serve(Trust.ALLOW), "{ stores(first: 100) { nodes { products(first: 100) { nodes { id } } } } }"

    for request in ({"query": query, "extensions": persisted(query)}, {"extensions": persisted(query)}):
        assert code(await post(api, **request)) == "COST_LIMIT_EXCEEDED"


@pytest.mark.parametrize("name", [7, None, ["x"], {"a": 1}])
async def test_what_is_no_hash_names_nothing(serve: Serve, name: Any) -> None:
    api = await serve(Trust.ALLOW)

    for request in ({"documentId": name}, {"extensions": {"persistedQuery": {"sha256Hash": name}}}):
        response = await api.client.post("/graphql", json=request)
        assert response.status_code == 400
        assert response.json()["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


def test_so_many_documents_are_remembered_and_no_more() -> None:
    documents = TrustedDocuments(Trust.ALLOW)
    for number in range(3_000):
        text = f"{{ n{number}: __typename }}"
        assert documents.text(text, hash_of(text)) == text

    assert len(documents._sent) == 1_000


@pytest.mark.parametrize("content", ["[]", '{"a": 1}', "nothing"])
def test_a_manifest_that_is_none_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "documents.json"
    file.write_text(content)

    with pytest.raises(ValueError, match=r"JSON|unexpected|expected"):
        TrustedDocuments(Trust.REQUIRE, file)


def test_trust_cannot_be_required_without_a_manifest() -> None:
    with pytest.raises(ValidationError, match="TRUSTED_DOCUMENTS_FILE"):
        Settings(trusted_documents=Trust.REQUIRE)
