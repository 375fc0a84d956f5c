"""Stock is adjusted by a delivery or a loss, or set as it was counted; neither is a new version of the product."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from app.db.models import Product, Store, User
from app.inputs import MAX_STOCK
from tests.api import Api
from tests.market import Market, gid
from tests.paths import Paths
from tests.products.changes import ADJUST_STOCK, SET_STOCK, adjust_stock, set_stock, update

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
UNTRACKED: Any = None


@pytest.fixture
async def lamp(market: Market, store: Store) -> Product:
    return await market.product(store, name="Lamp", stock=3, updated_at=LONG_AGO)


async def stock_and_version(market: Market, product: Product) -> tuple[int | None, int]:
    """Return both as they stand in the database."""
    await market.reload(product)
    return product.stock, product.version


@pytest.mark.parametrize(("delta", "stock"), [(4, 7), (-2, 1), (-3, 0), (0, 3), (MAX_STOCK - 3, MAX_STOCK)])
async def test_an_adjustment_adds_or_removes_units(
    api: Api, market: Market, lamp: Product, owner: User, delta: int, stock: int
) -> None:
    adjusted = await adjust_stock(api, owner, productId=gid(lamp), delta=delta)

    assert adjusted["__typename"] == "AdjustStockSuccess"
    assert (adjusted["product"]["stock"], adjusted["product"]["version"]) == (stock, 1)
    assert adjusted["productEdge"]["node"] == {"id": gid(lamp), "stock": stock}
    assert await stock_and_version(market, lamp) == (stock, 1)
    assert (lamp.updated_at > LONG_AGO) is (delta != 0)


@pytest.mark.parametrize(
    ("stock", "delta", "code", "message"),
    [
        (3, -4, "TOO_SMALL", "must be at least -3, as the stock is 3"),
        (0, -1, "TOO_SMALL", "must be at least 0, as the stock is 0"),
        (3, MAX_STOCK, "TOO_LARGE", f"must be at most {MAX_STOCK - 3}, as the stock is 3"),
        (3, MAX_STOCK + 1, "TOO_LARGE", f"must be at most {MAX_STOCK}"),
        (3, -MAX_STOCK - 1, "TOO_SMALL", f"must be at least {-MAX_STOCK}"),
        (UNTRACKED, 1, "STOCK_NOT_TRACKED", "can't be applied because the product's stock isn't tracked"),
        (UNTRACKED, 0, "STOCK_NOT_TRACKED", "can't be applied because the product's stock isn't tracked"),
    ],
)
async def test_what_cannot_be_the_stock_is_refused_and_nothing_changes(
    api: Api, market: Market, store: Store, owner: User, stock: int | None, delta: int, code: str, message: str
) -> None:
    product = await market.product(store, stock=stock)

    refused = await adjust_stock(api, owner, productId=gid(product), delta=delta)

    assert refused["__typename"] == "InvalidInput"
    assert refused["issues"] == [{"path": ["input", "delta"], "code": code, "message": message}]
    assert await stock_and_version(market, product) == (stock, 1)


@pytest.mark.parametrize("before", [3, 0, UNTRACKED])
@pytest.mark.parametrize("after", [9, 0, MAX_STOCK, UNTRACKED])
@pytest.mark.parametrize("expects", [True, False])
async def test_stock_is_set_as_it_was_counted(
    api: Api, market: Market, store: Store, owner: User, before: int | None, after: int | None, expects: bool
) -> None:
    product = await market.product(store, stock=before)
    expected = {"expectedStock": before} if expects else {}

    done = await set_stock(api, owner, productId=gid(product), stock=after, **expected)

    assert done["__typename"] == "SetStockSuccess"
    assert (done["product"]["stock"], done["product"]["version"]) == (after, 1)
    assert done["productEdge"]["node"] == {"id": gid(product), "stock": after}
    assert await stock_and_version(market, product) == (after, 1)


@pytest.mark.parametrize(
    ("stock", "expected", "message"),
    [
        (3, 4, "The stock has changed since you read it; it is 3 now."),
        (3, UNTRACKED, "The stock has changed since you read it; it is 3 now."),
        (UNTRACKED, 3, "The stock has changed since you read it; it isn't tracked now."),
        (UNTRACKED, 0, "The stock has changed since you read it; it isn't tracked now."),
    ],
)
async def test_a_stock_that_is_not_the_expected_one_is_shown_and_stays(
    api: Api, market: Market, store: Store, owner: User, stock: int | None, expected: int | None, message: str
) -> None:
    product = await market.product(store, name="Lamp", stock=stock)

    stale = await set_stock(api, owner, productId=gid(product), stock=9, expectedStock=expected)

    assert (stale["__typename"], stale["currentStock"], stale["message"]) == ("StaleStock", stock, message)
    current = stale["current"]
    assert (current["id"], current["name"], current["stock"], current["version"]) == (gid(product), "Lamp", stock, 1)
    assert await stock_and_version(market, product) == (stock, 1)


@pytest.mark.parametrize("path", ["resolver", "compiled"])
async def test_what_is_beyond_the_stale_product_is_shown_too(
    paths: Paths, lamp: Product, store: Store, owner: User, path: str
) -> None:
    document = """
    mutation ($id: ID!) {
      setStock(input: { productId: $id, stock: 9, expectedStock: 8 }) {
        ... on StaleStock { current { stock store { products { totalCount nodes { name } } } } }
      }
    }
    """

    data = await getattr(paths, path).data(document, {"id": gid(lamp)}, user=owner)

    products = {"totalCount": 1, "nodes": [{"name": "Lamp"}]}
    assert data["setStock"]["current"] == {"stock": 3, "store": {"products": products}}


@pytest.mark.parametrize(
    ("given", "field", "code"),
    [
        ({"stock": -1}, "stock", "TOO_SMALL"),
        ({"stock": MAX_STOCK + 1}, "stock", "TOO_LARGE"),
        ({"stock": 1, "expectedStock": -1}, "expectedStock", "TOO_SMALL"),
    ],
)
async def test_a_number_that_is_no_stock_is_refused(
    api: Api, market: Market, lamp: Product, owner: User, given: dict[str, int], field: str, code: str
) -> None:
    refused = await set_stock(api, owner, productId=gid(lamp), **given)

    assert [(issue["path"], issue["code"]) for issue in refused["issues"]] == [(["input", field], code)]
    assert await stock_and_version(market, lamp) == (3, 1)


async def test_the_stock_to_set_must_be_given(api: Api, market: Market, lamp: Product, owner: User) -> None:
    refused = await set_stock(api, owner, productId=gid(lamp))

    assert refused["issues"] == [{"path": ["input", "stock"], "code": "REQUIRED", "message": "must be given"}]
    assert await stock_and_version(market, lamp) == (3, 1)


@pytest.mark.parametrize("change", [adjust_stock, set_stock])
async def test_a_product_that_is_not_there_or_deleted_is_not_found(
    api: Api, market: Market, store: Store, owner: User, change: Any
) -> None:
    deleted = await market.product(store, stock=3, deleted_at=datetime.now(UTC))
    given = {"delta": 1} if change is adjust_stock else {"stock": 1}

    for id in (f"Product_{uuid4()}", gid(deleted)):
        refused = await change(api, owner, productId=id, **given)
        assert (refused["__typename"], refused["missingId"]) == ("NotFound", id)
    assert await stock_and_version(market, deleted) == (3, 1)


@pytest.mark.parametrize(("document", "given"), [(ADJUST_STOCK, {"delta": 1}), (SET_STOCK, {"stock": 1})])
@pytest.mark.parametrize("id", ["", "Lamp", "Store_01970000-0000-7000-8000-000000000000"])
async def test_what_is_no_id_of_a_product_is_refused(
    api: Api, owner: User, document: str, given: dict[str, int], id: str
) -> None:
    error = await api.error(document, {"input": {"productId": id, **given}}, user=owner)

    assert error["extensions"] == {"code": "BAD_USER_INPUT", "argumentPath": ["input", "productId"]}


async def test_an_update_keeps_the_stock(api: Api, market: Market, lamp: Product, owner: User) -> None:
    await set_stock(api, owner, productId=gid(lamp), stock=9)

    await update(api, owner, id=gid(lamp), name="Torch")

    assert await stock_and_version(market, lamp) == (9, 2)
