"""An order keeps names, prices and addresses as they were when it was placed."""

from decimal import Decimal
from typing import Any

import pytest

from app.db.models import Product, User
from tests.api import Api
from tests.market import Market, gid

PLACE = """
mutation ($input: PlaceOrderInput!) {
  placeOrder(input: $input) {
    __typename
    ... on PlaceOrderSuccess { order { id } }
    ... on InvalidInput { issues { path code } }
  }
}
"""
READ = """
query ($id: ID!) {
  order(id: $id) {
    note
    shippingAddress { ...A }
    totals { amount }
    items { productName unitPrice { amount } }
    storeOrders { note shippingAddress { ...A } customerName total { amount } items { productName } }
  }
}
fragment A on ShippingAddress { recipient lines city postcode country phone }
"""
ADDRESS = {
    "recipient": "Ada Lovelace",
    "lines": ["12 St James's Square", "2nd floor"],
    "city": "London",
    "postcode": "SW1Y 4JH",
    "country": "GB",
    "phone": "+44 20 7946 0000",
}


async def placed(api: Api, user: User, product: Product, **given: Any) -> Any:
    """Place an order of one unit and return how its customer sees it."""
    variables = {"input": {"items": [{"productId": gid(product), "quantity": 1}], **given}}
    order = (await api.data(PLACE, variables, user=user))["placeOrder"]["order"]
    return order["id"], (await api.data(READ, {"id": order["id"]}, user=user))["order"]


async def test_the_address_and_the_note_are_kept_with_the_order_and_its_parts(api: Api, market: Market) -> None:
    customer = await market.user(full_name="Ada Lovelace")

    _, order = await placed(
        api, customer, await market.product(), shippingAddress=ADDRESS, note="Ring twice.\nThen wait."
    )

    assert (order["shippingAddress"], order["note"]) == (ADDRESS, "Ring twice.\nThen wait.")
    (part,) = order["storeOrders"]
    assert (part["shippingAddress"], part["note"], part["customerName"]) == (
        ADDRESS,
        "Ring twice.\nThen wait.",
        "Ada Lovelace",
    )


@pytest.mark.parametrize("left_out", [{}, {"shippingAddress": None, "note": None}])
async def test_neither_is_required(api: Api, market: Market, left_out: Any) -> None:
    _, order = await placed(api, await market.user(), await market.product(), **left_out)

    assert (order["shippingAddress"], order["note"]) == (None, None)
    assert order["storeOrders"][0]["shippingAddress"] is None


async def test_a_postcode_and_a_phone_number_may_be_left_out(api: Api, market: Market) -> None:
    short = {name: value for name, value in ADDRESS.items() if name not in ("postcode", "phone")}

    _, order = await placed(api, await market.user(), await market.product(), shippingAddress=short)

    assert order["shippingAddress"] == {**short, "postcode": None, "phone": None}


@pytest.mark.parametrize(
    ("wrong", "path", "code"),
    [
        ({"lines": []}, ["lines"], "TOO_FEW"),
        ({"lines": ["a"] * 5}, ["lines"], "TOO_MANY"),
        ({"lines": ["a", " "]}, ["lines", "1"], "EMPTY"),
        ({"recipient": "A\nB"}, ["recipient"], "CONTROL_CHARACTERS"),
        ({"country": "XX"}, ["country"], "MALFORMED"),
        ({"phone": "call me"}, ["phone"], "MALFORMED"),
    ],
)
async def test_a_wrong_address_is_named(api: Api, market: Market, wrong: Any, path: list[str], code: str) -> None:
    given = {"items": [{"productId": gid(await market.product()), "quantity": 1}]}
    variables = {"input": {**given, "shippingAddress": {**ADDRESS, **wrong}}}

    result = (await api.data(PLACE, variables, user=await market.user()))["placeOrder"]

    assert result["issues"] == [{"path": ["input", "shippingAddress", *path], "code": code}]


async def test_later_changes_do_not_rewrite_an_order(api: Api, market: Market) -> None:
    customer = await market.user(full_name="Ada Lovelace")
    product = await market.product(name="Bread", price=Decimal("2.50"))
    key, before = await placed(api, customer, product)

    product.name, product.price, customer.full_name = "Brioche", Decimal(9), "Ada King"
    await market.session.commit()

    after = (await api.data(READ, {"id": key}, user=customer))["order"]
    assert after == before
    assert after["items"] == [{"productName": "Bread", "unitPrice": {"amount": "2.50"}}]
    assert after["storeOrders"][0]["customerName"] == "Ada Lovelace"
