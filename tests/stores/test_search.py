"""Searching stores by name."""

import pytest

from tests.api import Api
from tests.market import Market
from tests.statements import Statements
from tests.stores.operations import names

SEARCH = "query ($search: String!) { stores(filter: {search: $search}) { nodes { name } totalCount } }"


async def search(api: Api, words: str) -> list[str]:
    """Return what a search finds, best first."""
    stores = (await api.data(SEARCH, {"search": words}))["stores"]
    assert stores["totalCount"] == len(stores["nodes"])
    return [node["name"] for node in stores["nodes"]]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("tea", True),
        ("te", True),
        ("t", True),
        ("TEA", True),
        ("creme", True),
        ("Crème", True),
        ("CRÈME", True),
        ("cre\u0300me", True),
        ("tea creme", True),
        ("creme tea", True),
        ("cr te", True),
        ("  tea  ", True),
        ("tea, creme!", True),
        ("strasse", True),
        ("straße", True),
        ("24", True),
        ("ea", False),
        ("reme", False),
        ("tea coffee", False),
        ("teas", False),
        ("tea & coffee", False),
        ("tea | coffee", False),
        ("!coffee", False),
        ("te%", True),
        ("%ea", False),
        ("t_a", False),
        ("'", False),
        ("!!!", False),
        (":*", False),
        ("'; DROP TABLE stores; --", False),
    ],
)
async def test_each_word_must_begin_a_word_of_the_name(api: Api, market: Market, words: str, found: bool) -> None:
    await market.store(name="Tea & Crème, Straße 24")
    await market.store(name="Something Else")

    assert await search(api, words) == (["Tea & Crème, Straße 24"] if found else [])


@pytest.mark.parametrize("words", ["", "   ", "\t\n"])
async def test_an_empty_search_does_not_restrict(api: Api, market: Market, words: str) -> None:
    await market.store(name="B")
    await market.store(name="A")

    assert await search(api, words) == ["B", "A"]


async def test_the_best_match_comes_first(api: Api, market: Market) -> None:
    await market.store(name="Tea and Coffee")
    await market.store(name="Tea Tea Tea")

    assert await search(api, "tea") == ["Tea Tea Tea", "Tea and Coffee"]


async def test_an_order_that_is_asked_for_goes_before_the_best_match(api: Api, market: Market) -> None:
    await market.store(name="Tea Tea Tea")
    await market.store(name="Tea and Coffee")

    ordered = 'filter: {search: "tea"}, orderBy: {field: NAME, direction: %s}'

    assert await names(api, ordered % "ASC") == ["Tea and Coffee", "Tea Tea Tea"]
    assert await names(api, ordered % "DESC") == ["Tea Tea Tea", "Tea and Coffee"]


async def test_a_new_name_is_what_is_found(api: Api, market: Market) -> None:
    store = await market.store(name="Tea House")
    store.name = "Coffee House"
    await market.add(store)

    assert await search(api, "tea") == []
    assert await search(api, "coffee") == ["Coffee House"]


@pytest.mark.parametrize("field", ["search", "country", "city", "currency"])
@pytest.mark.parametrize(
    ("value", "message"),
    [("a\0b", "must not contain control characters"), ("x" * 501, "must have at most 500 characters")],
)
async def test_a_text_that_cannot_be_one_is_bad_input(
    api: Api, statements: Statements, field: str, value: str, message: str
) -> None:
    statements.clear()
    query = "query ($filter: StoreFilter) { stores(filter: $filter) { nodes { id } } }"

    error = await api.error(query, {"filter": {field: value}})

    assert error["extensions"] == {"code": "BAD_USER_INPUT", "argumentPath": ["filter", field]}
    assert error["message"] == f"`filter.{field}` {message}"
    assert len(statements) == 0
