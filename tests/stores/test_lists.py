"""Lists of stores: filters and orders."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func

from tests.api import Api
from tests.market import Market, gid
from tests.statements import Statements
from tests.stores.operations import names

PAGE = """
query ($first: Int, $last: Int, $after: String, $before: String, $filter: StoreFilter, $orderBy: StoreSort) {
  stores(first: $first, last: $last, after: $after, before: $before, filter: $filter, orderBy: $orderBy) {
    nodes { name } pageInfo { startCursor endCursor hasNextPage hasPreviousPage }
  }
}
"""


async def test_without_an_order_the_oldest_comes_first(api: Api, market: Market) -> None:
    for name in ("B", "C", "A"):
        await market.store(name=name)

    assert await names(api) == ["B", "C", "A"]


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("{field: NAME}", ["anise", "Äpfel", "Apple", "Łódka", "Zest"]),
        ("{field: NAME, direction: ASC}", ["anise", "Äpfel", "Apple", "Łódka", "Zest"]),
        ("{field: NAME, direction: DESC}", ["Zest", "Łódka", "Apple", "Äpfel", "anise"]),
    ],
)
async def test_names_are_ordered_without_regard_to_case_and_accents(
    api: Api, market: Market, order: str, expected: list[str]
) -> None:
    for name in ("Zest", "Apple", "anise", "Äpfel", "Łódka"):
        await market.store(name=name)

    assert await names(api, f"orderBy: {order}") == expected


@pytest.mark.parametrize(
    ("direction", "expected"), [("ASC", ["old", "middle", "new"]), ("DESC", ["new", "middle", "old"])]
)
async def test_stores_are_ordered_by_when_they_were_opened(
    api: Api, market: Market, direction: str, expected: list[str]
) -> None:
    moment = datetime(2025, 1, 1, tzinfo=UTC)
    for name, days in (("middle", 1), ("new", 2), ("old", 0)):
        await market.store(name=name, created_at=moment + timedelta(days=days))

    assert await names(api, f"orderBy: {{field: CREATED_AT, direction: {direction}}}") == expected


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"orderBy": {"field": "NAME"}},
        {"orderBy": {"field": "NAME", "direction": "DESC"}},
        {"orderBy": {"field": "CREATED_AT"}},
        {"orderBy": {"field": "CREATED_AT", "direction": "DESC"}},
        {"filter": {"search": "tea"}},
        {"filter": {"search": "tea"}, "orderBy": {"field": "NAME"}},
    ],
)
async def test_in_every_order_pages_have_each_store_once_forward_and_backward(
    api: Api, market: Market, variables: dict[str, object]
) -> None:
    for name in ("Tea", "Tea Tea", "tea", "TEA", "Tea Time"):
        await market.store(name=name)
    whole = [node["name"] for node in (await api.data(PAGE, variables))["stores"]["nodes"]]
    assert len(whole) == 5

    forward: list[str] = []
    after, more = None, True
    while more:
        page = (await api.data(PAGE, {**variables, "first": 2, "after": after}))["stores"]
        forward += [node["name"] for node in page["nodes"]]
        after, more = page["pageInfo"]["endCursor"], page["pageInfo"]["hasNextPage"]
    backward: list[str] = []
    before, more = None, True
    while more:
        page = (await api.data(PAGE, {**variables, "last": 2, "before": before}))["stores"]
        backward = [node["name"] for node in page["nodes"]] + backward
        before, more = page["pageInfo"]["startCursor"], page["pageInfo"]["hasPreviousPage"]

    assert forward == backward == whole


async def test_a_cursor_of_another_order_is_bad_input(api: Api, market: Market) -> None:
    await market.store()
    by_name = {"orderBy": {"field": "NAME"}}
    cursor = (await api.data(PAGE, by_name))["stores"]["pageInfo"]["endCursor"]

    for other in ({}, {"orderBy": {"field": "NAME", "direction": "DESC"}}, {"orderBy": {"field": "CREATED_AT"}}):
        error = await api.error(PAGE, {**other, "after": cursor})
        assert error["extensions"] == {"code": "BAD_USER_INPUT", "argumentPath": ["after"]}


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        ('{country: "AT"}', ["Wien"]),
        ('{country: "at"}', ["Wien"]),
        ('{country: "A"}', []),
        ('{currency: "CHF"}', ["Zürich"]),
        ('{currency: "chf"}', ["Zürich"]),
        ('{city: "Köln"}', ["Köln"]),
        ('{city: "KOLN"}', ["Köln"]),
        ('{city: "zürich"}', ["Zürich"]),
        ('{city: "Kö"}', []),
        ('{city: "%"}', []),
        ('{currency: "EUR"}', ["Wien", "Köln"]),
        ('{currency: "EUR", country: "DE"}', ["Köln"]),
        ('{currency: "EUR", country: "DE", city: "Wien"}', []),
        ('{currency: "EUR", search: "wi"}', ["Wien"]),
        ("{country: null, city: null, currency: null, search: null}", ["Wien", "Köln", "Zürich"]),
        ("{}", ["Wien", "Köln", "Zürich"]),
    ],
)
async def test_filters_restrict_each_other(api: Api, market: Market, filter: str, expected: list[str]) -> None:
    for city, country, currency in (("Wien", "AT", "EUR"), ("Köln", "DE", "EUR"), ("Zürich", "CH", "CHF")):
        await market.store(name=city, city=city, country=country, currency=currency)

    assert await names(api, f"filter: {filter}") == expected
    total = (await api.data(f"{{ stores(filter: {filter}) {{ totalCount }} }}"))["stores"]["totalCount"]
    assert total == len(expected)


async def test_a_filter_does_not_find_deleted_stores(api: Api, market: Market) -> None:
    owner = await market.user()
    await market.store(owner, name="Tea", city="Wien", deleted_at=func.now())

    for filter in ('{search: "tea"}', '{city: "Wien"}', '{country: "DE"}', '{currency: "EUR"}'):
        assert await names(api, f"filter: {filter}", user=owner) == []


async def test_a_list_with_its_total_and_owners_is_three_statements(
    api: Api, market: Market, statements: Statements
) -> None:
    stores = [await market.store() for _ in range(5)]
    statements.clear()

    data = await api.data("{ stores { nodes { id owner { id } } totalCount pageInfo { hasNextPage } } }")

    assert [node["id"] for node in data["stores"]["nodes"]] == [gid(store) for store in stores]
    assert [node["owner"]["id"] for node in data["stores"]["nodes"]] == [f"User_{store.owner_id}" for store in stores]
    assert data["stores"]["totalCount"] == 5
    assert len(statements) == 3
