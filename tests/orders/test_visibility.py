"""Who sees what of an order: its customer all of it, the owner of a store their items, anyone else nothing."""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from app.db.models import Order, Product, Store, User
from tests.api import Api
from tests.market import Market, gid
from tests.orders.operations import NOBODY_ID

ORDER = "query ($id: ID!) { order(id: $id) { id items { product { id } } totals { amount currency } } }"
OF_STORE = """
query ($id: ID!) {
  store(id: $id) { orders { nodes { id items { product { id } } totals { amount currency } } totalCount } }
}
"""
OF_USER = "query ($id: ID!) { user(id: $id) { orders { edges { node { id } } totalCount } } }"
MINE = "{ orders { nodes { id } totalCount } }"


@dataclass
class Fair:
    """A customer who ordered from two stores at once."""

    customer: User
    baker: User
    vintner: User
    bakery: Store
    cellar: Store
    bread: Product
    wine: Product
    order: Order


@pytest.fixture
async def fair(market: Market) -> Fair:
    customer, baker, vintner = [await market.user() for _ in range(3)]
    bakery, cellar = await market.store(baker), await market.store(vintner, currency="USD")
    bread = await market.product(bakery, price=Decimal("2.00"))
    wine = await market.product(cellar, price=Decimal("30.00"))
    order = await market.order(customer, bread, wine, quantity=2)
    return Fair(customer, baker, vintner, bakery, cellar, bread, wine, order)


def whole(fair: Fair) -> dict[str, object]:
    """Return the order as its customer sees it."""
    return {
        "id": gid(fair.order),
        "items": [{"product": {"id": gid(fair.bread)}}, {"product": {"id": gid(fair.wine)}}],
        "totals": [{"amount": "4.00", "currency": "EUR"}, {"amount": "60.00", "currency": "USD"}],
    }


def of_bakery(fair: Fair) -> dict[str, object]:
    """Return the order as the owner of the bakery sees it."""
    return {
        "id": gid(fair.order),
        "items": [{"product": {"id": gid(fair.bread)}}],
        "totals": [{"amount": "4.00", "currency": "EUR"}],
    }


async def test_the_customer_sees_the_whole_order(api: Api, fair: Fair) -> None:
    assert (await api.data(ORDER, {"id": gid(fair.order)}, user=fair.customer))["order"] == whole(fair)


async def test_a_superuser_sees_the_whole_order(api: Api, market: Market, fair: Fair) -> None:
    superuser = await market.superuser()

    assert (await api.data(ORDER, {"id": gid(fair.order)}, user=superuser))["order"] == whole(fair)


async def test_an_owner_sees_their_own_items_and_what_those_cost(api: Api, fair: Fair) -> None:
    assert (await api.data(ORDER, {"id": gid(fair.order)}, user=fair.baker))["order"] == of_bakery(fair)


async def test_an_owner_who_ordered_from_others_sees_their_whole_order(api: Api, market: Market, fair: Fair) -> None:
    order = await market.order(fair.baker, fair.bread, fair.wine)

    data = await api.data(ORDER, {"id": gid(order)}, user=fair.baker)

    assert len(data["order"]["items"]) == 2


@pytest.mark.parametrize("logged_in", [True, False])
async def test_anyone_else_sees_it_like_an_order_that_does_not_exist(
    api: Api, market: Market, fair: Fair, logged_in: bool
) -> None:
    await market.product(await market.store(stranger := await market.user()))
    viewer = stranger if logged_in else None

    assert await api.data(ORDER, {"id": gid(fair.order)}, user=viewer) == {"order": None}
    assert await api.data(ORDER, {"id": f"Order_{NOBODY_ID}"}, user=viewer) == {"order": None}


async def test_an_owner_sees_the_orders_of_their_store_as_far_as_they_are_theirs(api: Api, fair: Fair) -> None:
    data = await api.data(OF_STORE, {"id": gid(fair.bakery)}, user=fair.baker)

    assert data["store"]["orders"] == {"nodes": [of_bakery(fair)], "totalCount": 1}


async def test_a_superuser_sees_the_orders_of_every_store(api: Api, market: Market, fair: Fair) -> None:
    data = await api.data(OF_STORE, {"id": gid(fair.bakery)}, user=await market.superuser())

    assert data["store"]["orders"] == {"nodes": [whole(fair)], "totalCount": 1}


@pytest.mark.parametrize("who", ["customer", "vintner", None])
async def test_nobody_else_sees_the_orders_of_a_store(api: Api, fair: Fair, who: str | None) -> None:
    viewer = getattr(fair, who) if who else None

    data = await api.data(OF_STORE, {"id": gid(fair.bakery)}, user=viewer)

    assert data["store"]["orders"] == {"nodes": [], "totalCount": 0}


async def test_an_owner_cannot_ask_what_else_was_ordered_elsewhere(api: Api, fair: Fair) -> None:
    probe = """
    query ($id: ID!, $other: ID!) {
      store(id: $id) { orders(filter: { storeId: $other }) { nodes { id } totalCount } }
    }
    """

    data = await api.data(probe, {"id": gid(fair.bakery), "other": gid(fair.cellar)}, user=fair.baker)

    assert data["store"]["orders"] == {"nodes": [], "totalCount": 0}


async def test_an_owner_of_two_stores_may_ask_for_orders_from_both(api: Api, market: Market, fair: Fair) -> None:
    second = await market.store(fair.baker)
    both = await market.order(fair.customer, fair.bread, await market.product(second))
    query = """
    query ($id: ID!, $other: ID!) { store(id: $id) { orders(filter: { storeId: $other }) { nodes { id } } } }
    """

    data = await api.data(query, {"id": gid(fair.bakery), "other": gid(second)}, user=fair.baker)

    assert data["store"]["orders"]["nodes"] == [{"id": gid(both)}]


async def test_a_user_sees_their_own_orders_on_their_account(api: Api, fair: Fair) -> None:
    data = await api.data(OF_USER, {"id": gid(fair.customer)}, user=fair.customer)

    assert data["user"]["orders"] == {"edges": [{"node": {"id": gid(fair.order)}}], "totalCount": 1}


async def test_a_superuser_sees_the_orders_of_every_account(api: Api, market: Market, fair: Fair) -> None:
    data = await api.data(OF_USER, {"id": gid(fair.customer)}, user=await market.superuser())

    assert data["user"]["orders"]["totalCount"] == 1


@pytest.mark.parametrize("who", ["baker", None])
async def test_nobody_else_sees_the_orders_of_an_account(api: Api, fair: Fair, who: str | None) -> None:
    viewer = getattr(fair, who) if who else None

    data = await api.data(OF_USER, {"id": gid(fair.customer)}, user=viewer)

    assert data["user"]["orders"] == {"edges": [], "totalCount": 0}


async def test_your_orders_are_those_that_you_placed(api: Api, market: Market, fair: Fair) -> None:
    own = await market.order(fair.baker, fair.wine)

    assert (await api.data(MINE, user=fair.baker))["orders"] == {"nodes": [{"id": gid(own)}], "totalCount": 1}
    assert (await api.data(MINE, user=fair.vintner))["orders"] == {"nodes": [], "totalCount": 0}


async def test_a_superuser_lists_all_orders(api: Api, market: Market, fair: Fair) -> None:
    other = await market.order(fair.baker, fair.wine)

    data = await api.data(MINE, user=await market.superuser())

    assert {node["id"] for node in data["orders"]["nodes"]} == {gid(fair.order), gid(other)}
    assert data["orders"]["totalCount"] == 2


async def test_orders_are_listed_only_with_a_login(api: Api, fair: Fair) -> None:
    result = await api.execute(MINE)

    assert result["data"] is None
    assert [error["extensions"]["code"] for error in result["errors"]] == ["UNAUTHENTICATED"]


async def test_an_owner_learns_the_name_of_the_customer_and_not_the_address(api: Api, fair: Fair) -> None:
    query = "query ($id: ID!) { order(id: $id) { customer { fullName email } } }"

    data = await api.data(query, {"id": gid(fair.order)}, user=fair.baker)

    assert data["order"]["customer"] == {"fullName": fair.customer.full_name, "email": None}


async def test_a_deleted_product_still_resolves_in_an_item(api: Api, market: Market, fair: Fair) -> None:
    fair.bread.deleted_at = fair.bakery.deleted_at = datetime.now(UTC)
    await market.session.commit()
    query = "query ($id: ID!) { order(id: $id) { items { product { id deletedAt store { id } } } } }"

    for viewer in (fair.customer, fair.baker):
        data = await api.data(query, {"id": gid(fair.order)}, user=viewer)
        product = data["order"]["items"][0]["product"]
        assert (product["id"], product["store"]["id"]) == (gid(fair.bread), gid(fair.bakery))
        assert product["deletedAt"] is not None


async def test_an_order_outlives_the_account_of_its_customer(api: Api, market: Market, fair: Fair) -> None:
    await api.data(f'mutation {{ deleteUser(id: "{gid(fair.customer)}") {{ __typename }} }}', user=fair.customer)
    query = "query ($id: ID!) { order(id: $id) { id customer { id } } }"

    for viewer in (fair.baker, await market.superuser()):
        data = await api.data(query, {"id": gid(fair.order)}, user=viewer)
        assert data["order"] == {"id": gid(fair.order), "customer": None}
