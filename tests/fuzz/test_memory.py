"""What clients send takes no more memory than is set aside for it, however much they send."""

import gc
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

import orjson
import pytest
from sqlalchemy import Row

from app.graphql.operations.documents import Documents, GraphQLRequest
from app.graphql.relations.loaders import Loader
from app.graphql.schema import schema
from app.graphql.strawberry_internals import graphql_schema
from app.products.types import Product
from app.settings import Settings
from tests.fuzz.conftest import Fuzzed
from tests.fuzz.requests import request
from tests.garbage import without_collections

MB = 1_000_000


@pytest.fixture
def documents(settings: Settings) -> Documents:
    return Documents(graphql_schema(schema), settings)


@contextmanager
def taking_at_most(size: int) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        gc.collect()
        taken, _ = tracemalloc.get_traced_memory()
        assert taken < size, f"{taken:,} bytes"
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("start", "end"),
    [("{ " + "a " * 1_900, " }"), ("{ " + "a " * 1_900, ""), ("{ " + "a " * 1_900, "? }")],
    ids=["invalid", "unfinished", "no document"],
)
def test_of_a_document_that_is_refused_only_the_reasons_are_kept(documents: Documents, start: str, end: str) -> None:
    with taking_at_most(4 * MB):
        for number in range(8):
            assert documents.read(f"{start}z{number}{end}").errors


def test_of_variables_that_are_refused_nothing_is_kept(documents: Documents) -> None:
    """What they have cost was kept by the names of all their fields, 4 MB for each request."""
    text = "query ($filter: ProductFilter) { products(filter: $filter) { totalCount } }"
    documents.read(text)
    with taking_at_most(1 * MB):
        for number in range(20):
            filter = {f"{number} {field}": 1 for field in range(3_000)}
            assert documents.requested(GraphQLRequest(text, {"filter": filter}, None)).errors


def test_documents_weigh_what_they_take(documents: Documents) -> None:
    """A token takes 400 bytes, and of the weight there is 700,000: thirty megabytes at most."""
    text = f"{{ nodes(ids: [{'1 ' * 1_900}]) {{ id }} }}"

    assert not documents.read(text).errors

    assert documents._documents.weight > 10 * 1_900


@pytest.mark.parametrize(
    "text",
    [f"{{ {'viewer { email id fullName } ' * 20} }}", f"{{ nodes(ids: [{'1 ' * 100}]) {{ id }} }}"],
    ids=["fields", "values"],
)
def test_a_document_has_few_objects_to_traverse(documents: Documents, text: str) -> None:
    """Each takes time at every full garbage collection, while nobody is answered."""
    documents.read("{ viewer { email } }")
    with without_collections():
        before = len(gc.get_objects())
        document = documents.read(text)
        gc.collect()
        taken = len(gc.get_objects()) - before

    assert not document.errors
    assert taken < 0.32 * (document.weight - len(text))  # 10 for each token


async def test_what_an_operation_has_loaded_is_freed_when_it_ends(fuzzed: Fuzzed) -> None:
    """Without a garbage collection: one that frees what hundreds have loaded lets everybody wait."""
    query = (
        "{ stores(first: 5) { nodes { owner { id } products(first: 5, after: null) { totalCount nodes { id } } } } }"
    )
    with without_collections():
        response = await request(fuzzed.resolver, orjson.dumps({"query": query}))
        assert b"errors" not in response.body
        assert not [each for each in gc.get_objects() if isinstance(each, Loader | Product | Row)]


@pytest.mark.parametrize("path", ["resolver", "compiled"])
@pytest.mark.parametrize(
    "operation",
    [
        "{ stores(first: 5) { nodes { products(first: 5) { totalCount nodes { price { amount } } } } } }",
        """mutation ($me: ID!) {
          updateUser(input: { id: $me }) { ... on UpdateUserSuccess { user { orders { totalCount } } } }
        }""",
    ],
    ids=["query", "mutation"],
)
async def test_what_an_operation_has_made_is_freed_when_it_ends(fuzzed: Fuzzed, path: str, operation: str) -> None:
    customer = fuzzed.population.viewers["customer"]
    assert customer is not None
    body = orjson.dumps({"query": operation, "variables": {"me": f"User_{customer.id}"}})
    app = getattr(fuzzed, path)
    for _ in range(3):  # what is kept for later is made
        await request(app, body, headers=fuzzed.headers("customer"))
    with without_collections():
        response = await request(app, body, headers=fuzzed.headers("customer"))
        assert b"errors" not in response.body
        assert gc.collect() == 0


async def test_large_bodies_are_not_kept(fuzzed: Fuzzed) -> None:
    with taking_at_most(10 * MB):
        for number in range(100):
            text = f"{number}" * 60_000
            for body in (text.encode(), orjson.dumps({"query": "{ __typename }", "variables": {"x": text}})):
                assert (await request(fuzzed.compiled, body[:250_000])).status in (200, 400)
