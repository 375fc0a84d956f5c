"""What the catalogue shows, through which filters, and in which order."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from tests.api import Api
from tests.market import Market, gid
from tests.paths import Paths
from tests.products.catalogue import NAMES, names, names_in_store

DELETED = datetime(2026, 1, 1, tzinfo=UTC)


async def test_products_come_the_oldest_first(api: Api, market: Market) -> None:
    for name in ("b", "c", "a"):
        await market.product(name=name)

    assert await names(api) == ["b", "c", "a"]


async def test_a_deleted_product_is_left_out_of_lists(api: Api, market: Market) -> None:
    store = await market.store()
    await market.product(store, name="there")
    await market.product(store, name="gone", deleted_at=DELETED)

    assert await names(api) == ["there"]
    assert await names_in_store(api, gid(store)) == ["there"]
    count = "query ($id: ID!) { products { totalCount } store(id: $id) { products { totalCount } } }"
    data = await api.data(count, {"id": gid(store)})
    assert data == {"products": {"totalCount": 1}, "store": {"products": {"totalCount": 1}}}


async def test_a_deleted_product_is_left_out_of_its_owners_list_too(api: Api, market: Market) -> None:
    owner = await market.user()
    await market.product(await market.store(owner), deleted_at=DELETED)

    query = "{ products { nodes { id } } viewer { stores { nodes { products { nodes { id } } } } } }"

    data = await api.data(query, user=owner)

    assert data["products"]["nodes"] == []
    assert data["viewer"]["stores"]["nodes"] == [{"products": {"nodes": []}}]


async def test_a_store_shows_its_own_products_only(api: Api, market: Market) -> None:
    store = await market.store()
    await market.product(store, name="mine")
    await market.product(name="another's")

    assert await names_in_store(api, gid(store)) == ["mine"]


async def test_products_are_found_by_their_store(api: Api, market: Market) -> None:
    store = await market.store()
    await market.product(store, name="mine")
    await market.product(name="another's")

    assert await names(api, {"storeId": gid(store)}) == ["mine"]


async def test_a_store_filtered_by_another_store_shows_nothing(api: Api, market: Market) -> None:
    store = await market.store()
    await market.product(store)
    other = await market.product()

    assert await names_in_store(api, gid(store), {"storeId": f"Store_{other.store_id}"}) == []


@pytest.mark.parametrize("store_id", ["", "nonsense", "Product_01970000-0000-7000-8000-000000000000"])
async def test_a_filter_by_what_is_no_store_id_is_refused(api: Api, market: Market, store_id: str) -> None:
    await market.product()

    error = await api.error(NAMES, {"filter": {"storeId": store_id}})

    assert error["extensions"] == {"code": "BAD_USER_INPUT", "argumentPath": ["filter", "storeId"]}


@pytest.mark.parametrize(
    ("price", "found"),
    [
        ({"gte": "10.00"}, ["10.00", "10.01"]),
        ({"lte": "10.00"}, ["9.99", "10.00"]),
        ({"gte": "9.99", "lte": "9.99"}, ["9.99"]),
        ({"gte": "11", "lte": "9"}, []),
        ({"gte": 10}, ["10.00", "10.01"]),
        ({"gte": None, "lte": "9.99"}, ["9.99"]),
        ({}, ["9.99", "10.00", "10.01"]),
        (None, ["9.99", "10.00", "10.01"]),
    ],
)
async def test_products_are_found_by_their_price(api: Api, market: Market, price: Any, found: list[str]) -> None:
    store = await market.store()
    for amount in ("9.99", "10.00", "10.01"):
        await market.product(store, name=amount, price=Decimal(amount))

    assert await names(api, {"price": price}) == found


@pytest.mark.parametrize(
    ("price", "found"),
    [
        ({"gte": "10.001"}, []),
        ({"lte": "9.999"}, []),
        ({"gte": "9.999", "lte": "10.001"}, ["10.00"]),
        ({"gte": "10000000000"}, []),
        ({"gte": "-1e40", "lte": "1e40"}, ["10.00"]),
    ],
)
async def test_a_bound_of_the_price_is_neither_rounded_nor_too_large(
    api: Api, market: Market, price: Any, found: list[str]
) -> None:
    await market.product(name="10.00", price=Decimal("10.00"))

    assert await names(api, {"price": price}) == found


@pytest.mark.parametrize(
    ("in_stock", "found"), [(True, ["some", "untracked"]), (False, ["none"]), (None, ["some", "none", "untracked"])]
)
async def test_what_is_in_stock_is_what_can_be_ordered(
    api: Api, market: Market, in_stock: bool | None, found: list[str]
) -> None:
    store = await market.store()
    for name, stock in (("some", 1), ("none", 0), ("untracked", None)):
        await market.product(store, name=name, stock=stock)

    assert await names(api, {"inStock": in_stock}) == found


@pytest.mark.parametrize(
    ("filter", "found"),
    [
        ({"currency": "SEK"}, ["krona", "krona 2"]),
        ({"currency": " sek "}, ["krona", "krona 2"]),
        ({"currency": "SEK", "price": {"gte": 20}}, ["krona 2"]),
        ({"currency": "USD"}, []),
        ({"currency": "nonsense"}, []),
        ({"currency": None}, ["krona", "euro", "krona 2"]),
        ({"currency": ""}, ["krona", "euro", "krona 2"]),
    ],
)
async def test_products_are_found_by_their_currency(
    paths: Paths, market: Market, filter: Any, found: list[str]
) -> None:
    for name, currency, price in (("krona", "SEK", 10), ("euro", "EUR", 20), ("krona 2", "SEK", 20)):
        await market.product(await market.store(currency=currency), name=name, price=price)

    answers = await paths.ask(NAMES, {"filter": filter})

    assert [node["name"] for node in answers.data["products"]["nodes"]] == found


@pytest.mark.parametrize(
    ("who", "found"),
    [
        ("owner", ["mine, gone"]),
        ("other", ["another's, gone"]),
        ("superuser", ["mine, gone", "another's, gone"]),
        ("stranger", []),
        (None, []),
    ],
)
async def test_deleted_products_are_found_by_those_who_manage_them(
    paths: Paths, market: Market, who: str | None, found: list[str]
) -> None:
    users = {name: await market.user() for name in ("owner", "other", "stranger")}
    users["superuser"] = await market.superuser()
    viewer = None if who is None else users[who]
    mine, others = await market.store(users["owner"]), await market.store(users["other"], deleted_at=DELETED)
    await market.product(mine, name="mine")
    await market.product(mine, name="mine, gone", deleted_at=DELETED)
    await market.product(others, name="another's, gone", deleted_at=DELETED)
    query = """
    query ($filter: ProductFilter, $store: ID!) {
      products(filter: $filter) { nodes { name deletedAt } totalCount }
      store(id: $store) { products(filter: $filter) { nodes { name } totalCount } }
    }
    """

    async def seen(deleted: bool | None) -> Any:
        answers = await paths.ask(query, {"filter": {"deleted": deleted}, "store": gid(mine)}, user=viewer)
        data = answers.data
        for products in (data["products"], data["store"]["products"]):
            assert products["totalCount"] == len(products["nodes"])
        of_store = [node["name"] for node in data["store"]["products"]["nodes"]]
        return [node["name"] for node in data["products"]["nodes"]], of_store

    assert await seen(True) == (found, [name for name in found if name.startswith("mine")])
    assert await seen(False) == await seen(None) == (["mine"], ["mine"])


async def test_deleted_products_are_filtered_and_sorted_like_others(api: Api, market: Market) -> None:
    owner = await market.user()
    store = await market.store(owner)
    for name, price in (("Red lamp", 9), ("Blue lamp", 5), ("Lamp", 1), ("Chair", 5)):
        await market.product(store, name=name, price=price, deleted_at=DELETED)
    await market.product(store, name="Lamp for sale", price=5)
    variables = {
        "filter": {"deleted": True, "search": "lamp", "storeId": gid(store), "price": {"gte": 5}},
        "orderBy": {"field": "PRICE"},
    }

    data = await api.data(NAMES, variables, user=owner)

    assert [node["name"] for node in data["products"]["nodes"]] == ["Blue lamp", "Red lamp"]


async def test_filters_are_combined(api: Api, market: Market) -> None:
    store = await market.store()
    await market.product(store, name="Red lamp", price=Decimal(5), stock=1)
    await market.product(store, name="Red lamp, dear", price=Decimal(50), stock=1)
    await market.product(store, name="Red lamp, sold out", price=Decimal(5), stock=0)
    await market.product(store, name="Blue lamp", price=Decimal(5), stock=1)
    await market.product(name="Red lamp elsewhere", price=Decimal(5), stock=1)
    all_of_them = {"search": "red", "storeId": gid(store), "price": {"lte": 10}, "inStock": True}

    assert await names(api, all_of_them) == ["Red lamp"]


async def test_a_total_counts_what_the_filter_lets_through(api: Api, market: Market) -> None:
    store = await market.store()
    for stock in (0, 1, 2):
        await market.product(store, stock=stock)
    query = """query ($id: ID!) {
      products(filter: { inStock: true }, first: 1) { totalCount }
      store(id: $id) { products(filter: { inStock: true }, first: 1) { totalCount } }
    }"""

    data = await api.data(query, {"id": gid(store)})

    assert data["products"]["totalCount"] == 2
    assert data["store"]["products"]["totalCount"] == 2


@pytest.mark.parametrize("direction", ["ASC", "DESC"])
async def test_products_come_by_name_without_regard_to_case_and_accents(
    api: Api, market: Market, direction: str
) -> None:
    in_order = ["Ähre", "Apfel", "éclair", "Eis", "zebra", "Zoo"]
    store = await market.store()
    for name in ("zebra", "Eis", "Zoo", "éclair", "Apfel", "Ähre"):
        await market.product(store, name=name)
    expected = in_order if direction == "ASC" else in_order[::-1]
    order_by = {"field": "NAME", "direction": direction}

    assert await names(api, order_by=order_by) == expected
    assert await names_in_store(api, gid(store), order_by=order_by) == expected


@pytest.mark.parametrize(("direction", "expected"), [("ASC", ["9.99", "10", "100"]), ("DESC", ["100", "10", "9.99"])])
async def test_products_come_by_price_as_a_number(
    api: Api, market: Market, direction: str, expected: list[str]
) -> None:
    store = await market.store()
    for price in ("10", "100", "9.99"):
        await market.product(store, name=price, price=Decimal(price))
    order_by = {"field": "PRICE", "direction": direction}

    assert await names(api, order_by=order_by) == expected
    assert await names_in_store(api, gid(store), order_by=order_by) == expected


@pytest.mark.parametrize(("direction", "expected"), [("ASC", ["1", "2", "3"]), ("DESC", ["3", "2", "1"])])
async def test_products_come_by_when_they_were_added(
    api: Api, market: Market, direction: str, expected: list[str]
) -> None:
    store = await market.store()
    for day in (2, 3, 1):
        await market.product(store, name=str(day), created_at=datetime(2026, 1, day, tzinfo=UTC))
    order_by = {"field": "CREATED_AT", "direction": direction}

    assert await names(api, order_by=order_by) == expected
    assert await names_in_store(api, gid(store), order_by=order_by) == expected


async def test_an_order_without_a_direction_ascends(api: Api, market: Market) -> None:
    for name in ("b", "a"):
        await market.product(name=name)

    assert await names(api, order_by={"field": "NAME"}) == ["a", "b"]
