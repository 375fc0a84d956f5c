"""What clients send takes no more memory than is set aside for it, however much they send."""

import gc
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

import orjson
import pytest

from app.graphql.operations.documents import Documents
from app.graphql.schema import schema
from app.graphql.strawberry_internals import graphql_schema
from app.settings import Settings
from tests.fuzz.conftest import Fuzzed
from tests.fuzz.requests import request

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


def test_documents_weigh_what_they_take(documents: Documents) -> None:
    """A token takes 600 bytes, and of the weight there is two million: a hundred megabytes at most."""
    text = f"{{ nodes(ids: [{'1 ' * 1_900}]) {{ id }} }}"

    assert not documents.read(text).errors

    assert documents._documents.weight > 10 * 1_900
    (operation,) = documents.read(text).operations.values()
    assert operation.weight == documents._documents.weight


async def test_large_bodies_are_not_kept(fuzzed: Fuzzed) -> None:
    with taking_at_most(10 * MB):
        for number in range(100):
            text = f"{number}" * 60_000
            for body in (text.encode(), orjson.dumps({"query": "{ __typename }", "variables": {"x": text}})):
                assert (await request(fuzzed.compiled, body[:250_000])).status in (200, 400)
