"""Walking through the catalogue page by page, while others change it."""

from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import insert

from app.db.models import Product
from tests.api import Api
from tests.market import Market
from tests.paths import Paths

PAGE = """
query ($first: Int, $after: String, $last: Int, $before: String, $filter: ProductFilter, $orderBy: ProductSort) {
  products(first: $first, after: $after, last: $last, before: $before, filter: $filter, orderBy: $orderBy) {
    nodes { name } pageInfo { hasNextPage startCursor endCursor }
  }
}
"""
BY_PRICE = {"field": "PRICE"}


async def page(api: Api, **arguments: Any) -> tuple[list[str], Any]:
    """Return the names on a page, and where it lies."""
    shown = (await api.data(PAGE, arguments))["products"]
    return [node["name"] for node in shown["nodes"]], shown["pageInfo"]


@pytest.mark.parametrize(
    ("arguments", "size"), [({}, 20), ({"first": None}, 20), ({"first": 100}, 100), ({"last": 100}, 100)]
)
async def test_a_page_has_twenty_unless_told_otherwise(
    api: Api, market: Market, arguments: dict[str, Any], size: int
) -> None:
    store = await market.store()
    rows = [
        {"id": uuid4(), "store_id": store.id, "currency": "EUR", "name": str(number), "price": 1}
        for number in range(101)
    ]
    await market.session.execute(insert(Product), rows)
    await market.session.commit()

    names, info = await page(api, **arguments)

    assert len(names) == size
    assert info["hasNextPage"] is ("last" not in arguments)


async def test_what_is_added_between_two_pages_neither_repeats_nor_hides_others(api: Api, market: Market) -> None:
    for price in (10, 20, 30, 40):
        await market.product(name=str(price), price=Decimal(price))
    first, info = await page(api, first=2, orderBy=BY_PRICE)
    for price in (5, 15, 25, 50):
        await market.product(name=str(price), price=Decimal(price))

    second, _ = await page(api, first=10, after=info["endCursor"], orderBy=BY_PRICE)

    assert (first, second) == (["10", "20"], ["25", "30", "40", "50"])


async def test_what_is_deleted_between_two_pages_does_not_hide_others(api: Api, market: Market) -> None:
    products = {price: await market.product(name=str(price), price=Decimal(price)) for price in (10, 20, 30, 40)}
    _, info = await page(api, first=2, orderBy=BY_PRICE)
    for price in (10, 20):
        products[price].deleted_at = products[price].created_at
        await market.add(products[price])

    second, _ = await page(api, first=2, after=info["endCursor"], orderBy=BY_PRICE)

    assert second == ["30", "40"]


@pytest.mark.parametrize("order_by", [BY_PRICE, {"field": "CREATED_AT"}, {"field": "NAME"}, None])
@pytest.mark.parametrize("filter", [None, {"search": "lamp"}])
async def test_equal_ones_are_neither_skipped_nor_repeated(
    api: Api, market: Market, order_by: Any, filter: Any
) -> None:
    stores = [await market.store() for _ in range(5)]
    for number, store in enumerate(stores):
        await market.product(
            store, name=("Lamp", "LAMP", "lämp", "làmp", "lamp")[number], created_at=stores[0].created_at
        )
    every, _ = await page(api, orderBy=order_by, filter=filter)
    walked: list[str] = []
    after = None
    for _ in range(5):
        names, info = await page(api, first=1, after=after, orderBy=order_by, filter=filter)
        walked += names
        after = info["endCursor"]

    assert walked == every
    assert len(set(walked)) == 5
    assert info["hasNextPage"] is False


async def test_the_best_matches_are_walked_through_in_pages(api: Api, market: Market) -> None:
    store = await market.store()
    for name, description in (
        ("Chair", "A lamp."),
        ("Lamp", None),
        ("Table", "Lamp, lamp, lamp."),
        ("Lamp 2", "Lamp."),
    ):
        await market.product(store, name=name, description=description)
    filter = {"search": "lamp"}
    every, _ = await page(api, filter=filter)

    forth, info = await page(api, first=2, filter=filter)
    forth += (await page(api, first=2, after=info["endCursor"], filter=filter))[0]
    back, info = await page(api, last=2, filter=filter)
    back = (await page(api, last=2, before=info["startCursor"], filter=filter))[0] + back

    assert set(every[:2]) == {"Lamp", "Lamp 2"}
    assert forth == back == every


@pytest.mark.parametrize(
    "other", [None, {"field": "NAME"}, {"field": "CREATED_AT"}, {"field": "PRICE", "direction": "DESC"}]
)
async def test_a_cursor_of_another_order_or_direction_is_refused(api: Api, market: Market, other: Any) -> None:
    await market.product()
    _, info = await page(api, orderBy=BY_PRICE)

    for place in ("after", "before"):
        error = await api.error(PAGE, {place: info["endCursor"], "orderBy": other})
        assert error["extensions"] == {"code": "BAD_USER_INPUT", "argumentPath": [place]}


async def test_a_cursor_of_a_search_is_refused_without_it(api: Api, market: Market) -> None:
    await market.product(name="Lamp")
    _, info = await page(api, filter={"search": "lamp"})

    error = await api.error(PAGE, {"after": info["endCursor"]})

    assert error["extensions"] == {"code": "BAD_USER_INPUT", "argumentPath": ["after"]}


@pytest.mark.parametrize("direction", ["ASC", "DESC"])
async def test_prices_with_different_decimals_are_walked_through_in_one_order(
    paths: Paths, market: Market, direction: str
) -> None:
    prices = [("JPY", "1"), ("KWD", "1.001"), ("EUR", "1.00"), ("KWD", "1.000"), ("CLF", "0.9999"), ("EUR", "1.01")]
    for currency, price in prices:
        await market.product(await market.store(currency=currency), name=f"{price} {currency}", price=Decimal(price))
    in_order = ["0.9999 CLF", "1 JPY", "1.00 EUR", "1.000 KWD", "1.001 KWD", "1.01 EUR"]
    order_by = {"field": "PRICE", "direction": direction}
    walked: list[str] = []
    after = None

    for _ in prices:
        shown = (await paths.ask(PAGE, {"first": 1, "after": after, "orderBy": order_by})).data["products"]
        walked += [node["name"] for node in shown["nodes"]]
        after = shown["pageInfo"]["endCursor"]

    assert walked == (in_order if direction == "ASC" else in_order[::-1])
    assert shown["pageInfo"]["hasNextPage"] is False
