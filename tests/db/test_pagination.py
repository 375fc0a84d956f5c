"""Cursors and pages: what a cursor holds, which ones are refused, and that walking all pages shows every row once."""

from base64 import urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.models import Product
from app.db.pagination import CURSOR_VALUE, Ordering, page_request
from app.errors import BadUserInput
from app.inputs import Direction
from app.products import repository as products
from app.products.inputs import ProductFilter, ProductSort, ProductSortField
from tests.api import Api
from tests.market import Market

KEY = UUID("01970000-0000-7000-8000-000000000000")


def ordering(name: str, direction: Direction = Direction.ASC) -> Ordering:
    sort = ProductSort(field=ProductSortField[name], direction=direction)
    return products.catalog.ordering(ProductFilter(), sort)


ORDERINGS = {
    "ID": products.catalog.ordering(ProductFilter(), None),
    **{name: ordering(name) for name in ("NAME", "PRICE", "CREATED_AT")},
    "RELEVANCE": products.catalog.ordering(ProductFilter(search="lamp"), None),
}
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "ID": st.just(KEY),
    "NAME": st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    "PRICE": st.integers(0, 4).flatmap(lambda places: st.decimals(0, Decimal("9999999999.99"), places=places)),
    "CREATED_AT": st.datetimes(timezones=st.just(UTC)),
    "RELEVANCE": st.integers(0, 2**31 - 1),
}


def forged(text: str | bytes) -> str:
    """Return a cursor with this inside."""
    return urlsafe_b64encode(text.encode() if isinstance(text, str) else text).decode().rstrip("=")


def cursor(ordering: Ordering, value: Any, key: UUID = KEY) -> str:
    """Return the cursor of a row with this value and key."""
    return ordering.cursor(cast(Any, SimpleNamespace(id=key, **{CURSOR_VALUE: value})))


@pytest.mark.parametrize("name", ORDERINGS)
@given(data=st.data(), key=st.uuids())
def test_a_cursor_stands_for_the_place_of_its_row(name: str, data: st.DataObject, key: UUID) -> None:
    value = data.draw(VALUES[name])

    position = ORDERINGS[name].position("after", cursor(ORDERINGS[name], value, key))

    assert position == (value, key)


@given(value=VALUES["NAME"])
def test_a_cursor_needs_no_escaping_in_a_url(value: str) -> None:
    assert all(sign.isalnum() or sign in "-_" for sign in cursor(ORDERINGS["NAME"], value))


@pytest.mark.parametrize("name", ORDERINGS)
@example(text="")
@example(text="=")
@example(text="%%%")
@example(text="A" * 100_000)
@given(text=st.one_of(st.text(), st.text().map(forged), st.binary().map(forged)))
def test_any_other_text_is_refused(name: str, text: str) -> None:
    with pytest.raises(BadUserInput) as refusal:
        ORDERINGS[name].position("before", text)

    assert refusal.value.extensions["argumentPath"] == ["before"]


HOSTILE = {
    "ID": ["", "1", "nonsense", f"{KEY}\0", KEY.hex, f"{{{KEY}}}"],
    "NAME": ["\0", "lamp\0", "\0" * 1000],
    "PRICE": [
        *("", "\0", "1,50", "1.00000", "NaN", "sNaN", "Infinity", "-Infinity", "1e20", "1E+999999", "1E-200000"),
        *("1_0", "１２", " 7", "7\n", "0E-200000", "1" * 41, "1" * 41 + ".00", "1" * 5000, "0." + "0" * 20_000),
    ],
    "CREATED_AT": [
        *("", "now", "-infinity", "2026-01-01", "2026-01-01T00:00:00", "10000-01-01T00:00:00+00:00"),
        *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"),
        *("2026-W05-6T00:00:00+00:00", "20260101T000000Z", "2026-01-01 00:00:00.000000+00:00"),
    ],
    "RELEVANCE": ["", "\0", "1_0", "１２", " 7", "+7", "NaN", "1.5", "2147483648", "-2147483649", "9" * 20, "9" * 5000],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in HOSTILE.items() for value in values])
def test_a_value_that_no_row_has_is_refused(name: str, value: str) -> None:
    with pytest.raises(BadUserInput):
        ORDERINGS[name].position("after", forged(f"{ORDERINGS[name].label}:{KEY}:{value}"))


@pytest.mark.parametrize("text", [" {}", "{}\n", "{}=", "\u200b{}"])
def test_a_cursor_is_read_only_as_it_was_written(text: str) -> None:
    with pytest.raises(BadUserInput):
        ORDERINGS["PRICE"].position("after", text.format(cursor(ORDERINGS["PRICE"], Decimal("1.00"))))


@pytest.mark.parametrize("key", ["", "1", "\0", "01970000", f"{KEY}0", KEY.hex, f"{{{KEY}}}", f"urn:uuid:{KEY}"])
def test_a_key_that_no_row_has_is_refused(key: str) -> None:
    with pytest.raises(BadUserInput):
        ORDERINGS["PRICE"].position("after", forged(f"PRICE-asc:{key}:1.00"))


FIELDS = ["NAME", "PRICE", "CREATED_AT"]
PAGE = """
query ($orderBy: ProductSort, $search: String, $first: Int, $after: String, $last: Int, $before: String) {
  products(orderBy: $orderBy, filter: { search: $search }, first: $first, after: $after, last: $last, before: $before) {
    nodes { id } pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
  }
}
"""
LIMITED = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@LIMITED
@example(name="PRICE", value="9999999999.99")
@example(name="CREATED_AT", value="0001-01-01T00:00:00.000000+00:00")
@example(name="CREATED_AT", value="9999-12-31T23:59:59.999999+00:00")
@example(name="RELEVANCE", value=str(-(2**31) + 1))
@example(name="NAME", value="x" * 100_000)
@given(name=st.sampled_from([*FIELDS, "RELEVANCE"]), value=st.text())
async def test_no_cursor_makes_the_server_fail(api: Api, name: str, value: str) -> None:
    order_by = {"field": name} if name in FIELDS else None
    after = forged(f"{ORDERINGS[name].label}:{KEY}:{value}".encode(errors="replace"))

    result = await api.execute(PAGE, {"orderBy": order_by, "search": "lamp", "after": after})

    for error in result.get("errors", ()):
        assert error["extensions"] == {"code": "BAD_USER_INPUT", "argumentPath": ["after"]}


def test_a_cursor_of_another_order_is_told_apart() -> None:
    with pytest.raises(BadUserInput, match="PRICE-asc, not CREATED_AT-asc"):
        ORDERINGS["CREATED_AT"].position("after", cursor(ORDERINGS["PRICE"], Decimal("1.00")))


def test_a_cursor_of_the_other_direction_is_told_apart() -> None:
    descending = ordering("PRICE", Direction.DESC)

    with pytest.raises(BadUserInput, match="PRICE-asc, not PRICE-desc"):
        descending.position("after", cursor(ORDERINGS["PRICE"], Decimal("1.00")))


@pytest.mark.parametrize(
    ("arguments", "limit", "backward"),
    [
        ({}, 20, False),
        ({"first": 0}, 0, False),
        ({"first": 100}, 100, False),
        ({"last": 0}, 0, True),
        ({"last": 100}, 100, True),
        ({"after": True}, 20, False),
        ({"before": True}, 20, True),
        ({"after": True, "before": True}, 20, False),
        ({"first": 5, "before": True}, 5, False),
        ({"last": 5, "after": True}, 5, True),
    ],
)
def test_a_page_is_read_from_the_end_that_is_asked_for(arguments: dict[str, Any], limit: int, backward: bool) -> None:
    place = cursor(ORDERINGS["ID"], KEY)
    given_arguments: dict[str, Any] = {name: place if value is True else value for name, value in arguments.items()}

    request = page_request(ORDERINGS["ID"], **given_arguments)

    assert (request.limit, request.backward) == (limit, backward)


@st.composite
def stocked(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Draw a catalogue in which many products are alike: in price, in age, and in name but for case and accents."""
    kinds = st.tuples(st.integers(0, 2), st.sampled_from(["a", "A", "á", "b", "é", "E"]))
    drawn = draw(st.lists(kinds, unique=True, min_size=1, max_size=12))
    return [
        {
            "id": uuid4(),
            "store": store,
            "name": name,
            "folded": {"á": "a", "é": "e"}.get(name, name.lower()),
            "price": Decimal(draw(st.integers(1, 3))),
            "created_at": datetime(2026, 1, 1, tzinfo=UTC) + timedelta(microseconds=draw(st.integers(0, 2))),
        }
        for store, name in drawn
    ]


@pytest.fixture
async def stores(market: Market) -> list[dict[str, Any]]:
    stores = [await market.store() for _ in range(3)]
    return [{"store_id": store.id, "currency": store.currency} for store in stores]


async def walk(api: Api, order_by: Any, size: int, *, backward: bool) -> list[str]:
    """Return the ids on all pages, and check of each page that it says rightly whether there are others."""
    found: list[str] = []
    forth = ("first", "after", "hasNextPage", "endCursor", "hasPreviousPage")
    size_name, place_name, onward, next_place, back = (
        ("last", "before", "hasPreviousPage", "startCursor", "hasNextPage") if backward else forth
    )
    place = None
    while True:
        page = (await api.data(PAGE, {"orderBy": order_by, size_name: size, place_name: place}))["products"]
        ids = [node["id"] for node in page["nodes"]]
        found = ids + found if backward else found + ids
        info = page["pageInfo"]
        assert info[back] is (place is not None)
        if not info[onward]:
            return found
        assert len(ids) == size
        place = info[next_place]


@LIMITED
@given(
    products=stocked(),
    field=st.sampled_from(FIELDS),
    direction=st.sampled_from(["ASC", "DESC"]),
    size=st.integers(1, 6),
)
async def test_walking_all_pages_either_way_shows_every_row_once_and_in_order(
    api: Api,
    connection: AsyncConnection,
    stores: list[dict[str, Any]],
    products: list[dict[str, Any]],
    field: str,
    direction: str,
    size: int,
) -> None:
    key = {"NAME": "folded", "PRICE": "price", "CREATED_AT": "created_at"}[field]
    in_order = sorted(products, key=lambda row: (row[key], row["id"]), reverse=direction == "DESC")
    expected = [f"Product_{row['id']}" for row in in_order]
    order_by = {"field": field, "direction": direction}

    async with connection.begin_nested() as savepoint:
        columns = ("id", "name", "price", "created_at")
        rows = [{name: row[name] for name in columns} | stores[row["store"]] for row in products]
        await connection.execute(insert(Product), rows)
        forth = await walk(api, order_by, size, backward=False)
        back = await walk(api, order_by, size, backward=True)
        await savepoint.rollback()

    assert forth == expected
    assert back == expected
