"""DateTime and Decimal: one format in every answer, and nothing taken that is not exact."""

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.graphql.scalars import format_datetime, format_decimal, parse_datetime, parse_decimal
from tests.api import Api
from tests.market import Market
from tests.paths import Paths

BY_PRICE = "query ($price: Decimal) { products(filter: { price: { gte: $price } }) { nodes { id } } }"
BY_DATE = "query ($date: DateTime) { orders(filter: { placedAt: { gte: $date } }) { nodes { id } } }"

NO_DECIMALS = [1.5, 1.0, True, False, "", " ", "NaN", "sNaN", "Infinity", "-inf", "twelve", "1,50", "0x10", [], {}]
NO_DECIMALS += ["1_000", "１２", "٣", " 7", "7\n", "1e1_0", "+-1", ".", "1.e", "−5"]
NO_DECIMALS += ["1e41", "1e-41", "1e999999999", "1" * 42, "0." + "1" * 42]


@pytest.mark.parametrize("value", NO_DECIMALS)
async def test_what_is_no_exact_number_is_refused_as_a_decimal(api: Api, value: Any) -> None:
    error = await api.error(BY_PRICE, {"price": value})

    assert error["code"] == "BAD_USER_INPUT"
    assert "Decimal" in error["message"]


@pytest.mark.parametrize(
    "literal",
    ["1.5", "1e3", "true", "PLACED", '"NaN"', '""', "[1.5]", "{ amount: 1 }", "9" * 50, '"1_000"', '"１２"', '" 7"'],
)
async def test_a_literal_that_is_no_exact_number_is_refused_where_it_stands(api: Api, literal: str) -> None:
    error = await api.error(f"{{ products(filter: {{ price: {{ gte: {literal} }} }}) {{ nodes {{ id }} }} }}")

    assert error["code"] == "GRAPHQL_VALIDATION_FAILED"
    assert error["locations"][0]["line"] == 1


@pytest.mark.parametrize("literal", ["12", '"12"', '"12.00"', '"1.2e1"', "-3"])
async def test_a_literal_string_or_integer_is_a_decimal(api: Api, market: Market, literal: str) -> None:
    await market.product(price=Decimal(12))

    data = await api.data(f"{{ products(filter: {{ price: {{ gte: {literal} }} }}) {{ nodes {{ id }} }} }}")

    assert len(data["products"]["nodes"]) == 1


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 10**30])
@pytest.mark.parametrize("sent", ["number", "text"])
async def test_an_integer_that_json_readers_round_is_sent_as_a_string(paths: Paths, number: int, sent: str) -> None:
    for api in (paths.resolver, paths.compiled):
        result = await execute(api, BY_PRICE, {"price": number if sent == "number" else str(number)})

        if sent == "text":
            assert result == {"products": {"nodes": []}}
        else:
            assert "Decimal must be a string if it is an integer of 64 bits or more" in result


async def test_a_number_that_no_reader_holds_is_named_as_such(api: Api) -> None:
    response = await api.client.post(
        "/graphql",
        content=b'{"query": "{ __typename }", "variables": {"price": 1%s}}' % (b"0" * 400),
        headers={"Content-Type": "application/json"},
    )

    assert response.json()["errors"][0]["message"] == (
        "The body contains a number that is too large. Send it as a string."
    )


@pytest.mark.parametrize("number", [2**31, 2**63, 2**64, -(2**63) - 1])
async def test_an_int_beyond_its_range_is_named_as_such(paths: Paths, number: int) -> None:
    for api in (paths.resolver, paths.compiled):
        result = await execute(api, "query ($first: Int) { products(first: $first) { totalCount } }", {"first": number})

        assert "Int cannot represent non 32-bit signed integer value" in result


async def execute(api: Api, query: str, variables: dict[str, Any]) -> Any:
    """Return the data, or the message of the one error."""
    body = json.dumps({"query": query, "variables": variables})
    response = await api.client.post("/graphql", content=body, headers={"Content-Type": "application/json"})
    result = response.json()
    return result["errors"][0]["message"] if "errors" in result else result["data"]


@pytest.mark.parametrize(
    ("stored", "shown"),
    [("0", "0.00"), ("5", "5.00"), ("5.5", "5.50"), ("0.01", "0.01"), ("9999999999.99", "9999999999.99")],
)
async def test_a_decimal_is_shown_as_a_string_with_two_decimals(
    api: Api, market: Market, stored: str, shown: str
) -> None:
    await market.product(price=Decimal(stored))

    data = await api.data("{ products { nodes { price { amount } } } }")

    assert data["products"]["nodes"] == [{"price": {"amount": shown}}]


@given(st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-(10**20), max_value=10**20))
def test_a_decimal_is_read_back_as_it_was_shown(value: Decimal) -> None:
    shown = format_decimal(value)

    assert "e" not in shown.lower()
    assert parse_decimal(shown) == value


@pytest.mark.parametrize(
    "value",
    [
        "",
        "now",
        "2026-01-31",
        "2026-01-31T12:00:00",
        "2026-02-30T12:00:00Z",
        "12:00:00Z",
        "2026-01-31T25:00:00Z",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        "10000-01-01T00:00:00Z",
        "2026-W05-6",
        "2026-W05-6T12:00:00Z",
        "20260131T120000Z",
        "2026-01-31 12:00:00Z",
        "2026-01-31T12:00Z",
        "2026-01-31T12:00:00,5Z",
        "2026-01-31T12:00:00+0100",
        "2026-01-31T12:00:00+01:00:30",
        "２026-01-31T12:00:00Z",
        " 2026-01-31T12:00:00Z",
        "2026-01-31T12:00:00Z\n",
        1_700_000_000,
        True,
        [],
    ],
)
async def test_what_names_no_moment_is_refused_as_a_datetime(api: Api, market: Market, value: Any) -> None:
    error = await api.error(BY_DATE, {"date": value}, user=await market.user())

    assert error["code"] == "BAD_USER_INPUT"
    assert "DateTime" in error["message"]


@pytest.mark.parametrize(
    "value",
    [
        "2026-01-31T12:00:00Z",
        "2026-01-31T12:00:00.000000+00:00",
        "2026-01-31T13:00:00+01:00",
        "2026-01-31T06:30:00.0-05:30",
        "2026-01-31t12:00:00z",
        "2026-01-31T12:00:00.000000000Z",
        "2026-01-31T12:00:00-00:00",
    ],
)
def test_one_moment_may_be_written_in_many_ways(value: str) -> None:
    assert parse_datetime(value) == datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize("value", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"])
async def test_the_first_and_the_last_moment_are_taken(api: Api, market: Market, value: str) -> None:
    assert await api.data(BY_DATE, {"date": value}, user=await market.user()) == {"orders": {"nodes": []}}


@pytest.mark.parametrize(
    ("moment", "shown"),
    [
        (datetime(2026, 1, 31, 12, tzinfo=UTC), "2026-01-31T12:00:00.000000+00:00"),
        (datetime(2026, 1, 31, 12, 0, 0, 5, tzinfo=UTC), "2026-01-31T12:00:00.000005+00:00"),
        (datetime(2026, 1, 31, 12, tzinfo=timezone(timedelta(hours=14))), "2026-01-30T22:00:00.000000+00:00"),
        (datetime(987, 6, 5, tzinfo=UTC), "0987-06-05T00:00:00.000000+00:00"),
    ],
)
async def test_a_datetime_is_shown_in_utc_with_all_its_decimals(
    api: Api, market: Market, moment: datetime, shown: str
) -> None:
    await market.product(created_at=moment)

    data = await api.data("{ products { nodes { createdAt } } }")

    assert data["products"]["nodes"] == [{"createdAt": shown}]


OFFSETS = st.integers(-23, 23).map(lambda hours: timezone(timedelta(hours=hours)))


@given(st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 1, 1), timezones=OFFSETS))  # noqa: DTZ001
def test_a_datetime_is_read_back_as_it_was_shown(moment: datetime) -> None:
    assert parse_datetime(format_datetime(moment)) == moment
