"""What an order records: products, quantities, and the prices of that moment."""

from datetime import datetime
from decimal import Decimal

import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.models import Order, Product
from tests.api import Api
from tests.market import Market, gid
from tests.orders.operations import NOBODY_ID, PLACE, item, kinds, number_of, place
from tests.paths import Paths

UPDATE_PRICE = """
mutation ($id: ID!, $price: Decimal!) {
  updateProduct(input: { id: $id, price: $price }) { __typename }
}
"""
ORDER = """
query ($id: ID!) {
  order(id: $id) {
    totals { amount currency }
    items { unitPrice { amount currency } lineTotal { amount } product { price { amount } } }
  }
}
"""


async def test_an_order_is_placed_by_whoever_sends_it(api: Api, market: Market) -> None:
    customer, product = await market.user(), await market.product(price=Decimal("12.50"))

    order = (await place(api, customer, item(product, 3)))["order"]

    assert order == {
        "id": order["id"],
        "status": "PLACED",
        "customer": {"id": gid(customer)},
        "totals": [{"amount": "37.50", "currency": "EUR"}],
        "storeOrders": [{"id": order["storeOrders"][0]["id"], "status": "OPEN"}],
        "items": [
            {
                "product": {"id": gid(product)},
                "quantity": 3,
                "fulfilledAt": None,
                "unitPrice": {"amount": "12.50", "currency": "EUR"},
                "lineTotal": {"amount": "37.50", "currency": "EUR"},
            }
        ],
    }


async def test_an_order_shows_when_it_was_placed(paths: Paths, market: Market, connection: AsyncConnection) -> None:
    document = """mutation ($id: ID!) {
      placeOrder(input: { items: [{ productId: $id, quantity: 1 }] }) {
        ... on PlaceOrderSuccess { order { id placedAt updatedAt } }
      }
    }"""
    customer, product = await market.user(), await market.product()

    order = (await paths.resolver.data(document, {"id": gid(product)}, user=customer))["placeOrder"]["order"]

    now = await connection.scalar(select(func.now()))
    assert [datetime.fromisoformat(order[field]) for field in ("placedAt", "updatedAt")] == [now, now]
    answers = await paths.ask("query ($id: ID!) { order(id: $id) { id placedAt updatedAt } }", order, user=customer)
    assert answers.data == {"order": order}


async def test_a_later_price_does_not_change_the_order(api: Api, market: Market) -> None:
    owner, customer = await market.user(), await market.user()
    product = await market.product(await market.store(owner), price=Decimal("10.00"))
    order = (await place(api, customer, item(product, 2)))["order"]

    await api.data(UPDATE_PRICE, {"id": gid(product), "price": "99.99"}, user=owner)

    data = await api.data(ORDER, {"id": order["id"]}, user=customer)
    assert data["order"] == {
        "totals": [{"amount": "20.00", "currency": "EUR"}],
        "items": [
            {
                "unitPrice": {"amount": "10.00", "currency": "EUR"},
                "lineTotal": {"amount": "20.00"},
                "product": {"price": {"amount": "99.99"}},
            }
        ],
    }


async def test_totals_are_one_amount_for_each_currency(api: Api, market: Market) -> None:
    berlin, paris = await market.store(currency="EUR"), await market.store(currency="EUR")
    boston = await market.store(currency="USD")
    bread = await market.product(berlin, price=Decimal("2.35"))
    wine = await market.product(paris, price=Decimal("7.40"))
    tea = await market.product(boston, price=Decimal("0.01"))

    order = (await place(api, await market.user(), item(bread, 2), item(tea, 10), item(wine)))["order"]

    assert sorted((total["currency"], total["amount"]) for total in order["totals"]) == [
        ("EUR", "12.10"),
        ("USD", "0.10"),
    ]


@pytest.mark.parametrize(
    ("currency", "price", "line_total"),
    [("JPY", "500", "1500"), ("EUR", "0.10", "0.30"), ("KWD", "1.255", "3.765"), ("CLF", "0.0001", "0.0003")],
)
async def test_each_item_keeps_the_currency_of_its_store_with_its_decimals(
    paths: Paths, market: Market, currency: str, price: str, line_total: str
) -> None:
    customer, product = (
        await market.user(),
        await market.product(await market.store(currency=currency), price=Decimal(price)),
    )

    order = (await place(paths.resolver, customer, item(product, 3)))["order"]

    (bought,) = order["items"]
    assert bought["unitPrice"] == {"amount": price, "currency": currency}
    assert bought["lineTotal"] == {"amount": line_total, "currency": currency}
    assert order["totals"] == [{"amount": line_total, "currency": currency}]
    query = """query ($id: ID!) {
      order(id: $id) {
        totals { amount } storeOrders { total { amount } } items { unitPrice { amount } lineTotal { amount } }
      }
    }"""
    assert (await paths.ask(query, {"id": order["id"]}, user=customer)).data["order"] == {
        "totals": [{"amount": line_total}],
        "storeOrders": [{"total": {"amount": line_total}}],
        "items": [{"unitPrice": {"amount": price}, "lineTotal": {"amount": line_total}}],
    }


async def test_the_largest_order_is_added_up_exactly(api: Api, market: Market) -> None:
    store = await market.store()
    gold, ship = [await market.product(store, price=Decimal("9999999999.99")) for _ in range(2)]

    order = (await place(api, await market.user(), item(gold, 10_000), item(ship, 10_000)))["order"]

    assert order["totals"] == [{"amount": "199999999999800.00", "currency": "EUR"}]


async def test_items_keep_the_order_in_which_they_were_sent(api: Api, market: Market) -> None:
    first, second, third = [await market.product() for _ in range(3)]

    order = (await place(api, await market.user(), item(third), item(first), item(second)))["order"]

    assert [item["product"]["id"] for item in order["items"]] == [gid(third), gid(first), gid(second)]


async def test_an_order_may_have_a_hundred_items(api: Api, market: Market) -> None:
    store = await market.store()
    products = [
        Product(store_id=store.id, currency="EUR", name=f"Nail {number}", price=Decimal("0.01"))
        for number in range(100)
    ]
    market.session.add_all(products)
    await market.session.commit()

    order = (await place(api, await market.user(), *map(item, products)))["order"]

    assert len(order["items"]) == 100
    assert order["totals"] == [{"amount": "1.00", "currency": "EUR"}]


async def test_an_order_may_not_have_more_than_a_hundred_items(
    api: Api, market: Market, connection: AsyncConnection
) -> None:
    products = [f"Product_00000000-0000-7000-8000-{number:012}" for number in range(101)]

    result = await place(api, await market.user(), *map(item, products))

    assert kinds(result) == [(["input", "items"], "TOO_MANY")]
    assert await number_of(connection, Order) == 0


async def test_an_order_of_nothing_is_refused(api: Api, market: Market, connection: AsyncConnection) -> None:
    result = await place(api, await market.user())

    assert result["__typename"] == "InvalidInput"
    assert kinds(result) == [(["input", "items"], "TOO_FEW")]
    assert await number_of(connection, Order) == 0


@pytest.mark.parametrize(
    ("quantity", "code"), [(-1, "TOO_SMALL"), (0, "TOO_SMALL"), (10_001, "TOO_LARGE"), (2**31 - 1, "TOO_LARGE")]
)
async def test_every_quantity_out_of_range_is_named(
    api: Api, market: Market, connection: AsyncConnection, quantity: int, code: str
) -> None:
    bread, wine, tea = [await market.product() for _ in range(3)]

    result = await place(api, await market.user(), item(bread, quantity), item(wine, 1), item(tea, quantity))

    assert result["__typename"] == "InvalidInput"
    assert kinds(result) == [(["input", "items", index, "quantity"], code) for index in ("0", "2")]
    assert await number_of(connection, Order) == 0


@pytest.mark.parametrize("quantity", [1, 10_000])
async def test_quantities_up_to_ten_thousand_are_taken(api: Api, market: Market, quantity: int) -> None:
    order = (await place(api, await market.user(), item(await market.product(), quantity)))["order"]

    assert order["items"][0]["quantity"] == quantity


async def test_a_product_may_stand_in_an_order_only_once(api: Api, market: Market) -> None:
    bread, wine = await market.product(stock=10), await market.product()

    result = await place(api, await market.user(), item(bread), item(bread, 2), item(wine))

    assert result["__typename"] == "InvalidInput"
    assert kinds(result) == [(["input", "items", "1", "productId"], "NOT_UNIQUE")]
    assert (await market.reload(bread)).stock == 10


async def test_a_product_that_does_not_exist_is_not_found(
    api: Api, market: Market, connection: AsyncConnection
) -> None:
    bread, nothing = await market.product(stock=5), f"Product_{NOBODY_ID}"

    result = await place(api, await market.user(), item(bread), item(nothing))

    assert result == {"__typename": "NotFound", "missingId": nothing, "message": "There is no such Product."}
    assert (await market.reload(bread)).stock == 5
    assert await number_of(connection, Order) == 0


@pytest.mark.parametrize("mutation", ["deleteProduct", "deleteStore"])
async def test_a_product_that_was_deleted_is_answered_like_one_that_does_not_exist(
    api: Api, market: Market, mutation: str
) -> None:
    owner = await market.user()
    store = await market.store(owner)
    product = await market.product(store, stock=5)
    deleted = gid(product if mutation == "deleteProduct" else store)
    await api.data(f'mutation {{ {mutation}(input: {{ id: "{deleted}" }}) {{ __typename }} }}', user=owner)

    for viewer in (await market.user(), owner, await market.superuser()):
        result = await place(api, viewer, item(product))
        assert result == {"__typename": "NotFound", "missingId": gid(product), "message": "There is no such Product."}
    assert (await market.reload(product)).stock == 5


@pytest.mark.parametrize("id", ["", "Product_1", f"Store_{NOBODY_ID}", f"Product_{NOBODY_ID}".upper()])
async def test_an_id_that_is_not_of_a_product_is_named(api: Api, market: Market, id: str) -> None:
    variables = {"items": [item(await market.product()), item(id)]}

    error = await api.error(PLACE, variables, user=await market.user())

    assert error["extensions"] == {"code": "BAD_USER_INPUT", "argumentPath": ["input", "items", "1", "productId"]}


async def test_nobody_orders_without_a_login(api: Api, market: Market, connection: AsyncConnection) -> None:
    product = await market.product(stock=5)

    error = await api.error(PLACE, {"items": [item(product)]})

    assert error["code"] == "UNAUTHENTICATED"
    assert (await market.reload(product)).stock == 5
    assert await number_of(connection, Order) == 0


async def test_a_store_owner_may_order_from_their_own_store(api: Api, market: Market) -> None:
    owner = await market.user()
    product = await market.product(await market.store(owner), stock=1)

    order = (await place(api, owner, item(product)))["order"]

    assert order["customer"] == {"id": gid(owner)}
    assert (await market.reload(product)).stock == 0
