"""Who sees what of an order: its customer all of it, the owner of a store their part, anyone else nothing."""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from sqlalchemy import select

from app.db.models import Order, OrderItem, Product, Store, StoreOrder, User
from tests.api import Api
from tests.market import Market, gid
from tests.orders.operations import NOBODY_ID
from tests.paths import Paths

ORDER = "query ($id: ID!) { order(id: $id) { id items { product { id } } totals { amount currency } } }"
PART = "id number customerName items { product { id } } total { amount currency }"
OF_STORE = f"query ($id: ID!) {{ store(id: $id) {{ orders {{ nodes {{ {PART} }} totalCount }} }} }}"
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
    baked: StoreOrder


@pytest.fixture
async def fair(market: Market) -> Fair:
    customer, baker, vintner = [await market.user() for _ in range(3)]
    bakery, cellar = await market.store(baker), await market.store(vintner, currency="USD")
    bread = await market.product(bakery, price=Decimal("2.00"))
    wine = await market.product(cellar, price=Decimal("30.00"))
    order = await market.order(customer, bread, wine, quantity=2)
    baked = await market.store_order(order, bakery)
    return Fair(customer, baker, vintner, bakery, cellar, bread, wine, order, baked)


def whole(fair: Fair) -> dict[str, object]:
    """Return the order as its customer sees it."""
    return {
        "id": gid(fair.order),
        "items": [{"product": {"id": gid(fair.bread)}}, {"product": {"id": gid(fair.wine)}}],
        "totals": [{"amount": "4.00", "currency": "EUR"}, {"amount": "60.00", "currency": "USD"}],
    }


def of_bakery(fair: Fair) -> dict[str, object]:
    """Return the part of the order that the bakery sells."""
    return {
        "id": gid(fair.baked),
        "number": fair.order.number,
        "customerName": fair.customer.full_name,
        "items": [{"product": {"id": gid(fair.bread)}}],
        "total": {"amount": "4.00", "currency": "EUR"},
    }


async def test_the_customer_sees_the_whole_order(api: Api, fair: Fair) -> None:
    assert (await api.data(ORDER, {"id": gid(fair.order)}, user=fair.customer))["order"] == whole(fair)


async def test_a_superuser_sees_the_whole_order(api: Api, market: Market, fair: Fair) -> None:
    superuser = await market.superuser()

    assert (await api.data(ORDER, {"id": gid(fair.order)}, user=superuser))["order"] == whole(fair)


async def test_an_owner_does_not_see_the_order_but_their_part_of_it(paths: Paths, fair: Fair) -> None:
    query = f"""
    query ($order: ID!, $part: ID!) {{
      order(id: $order) {{ id }} node(id: $part) {{ ... on StoreOrder {{ {PART} }} }}
    }}
    """

    answers = await paths.ask(query, {"order": gid(fair.order), "part": gid(fair.baked)}, user=fair.baker)

    assert answers.data == {"order": None, "node": of_bakery(fair)}


@pytest.mark.parametrize(
    ("who", "sees"),
    [("customer", ["part", "bread"]), ("baker", ["part", "bread"]), ("vintner", []), ("stranger", []), (None, [])],
)
async def test_the_items_of_a_part_are_seen_by_whoever_sees_it(
    paths: Paths, market: Market, fair: Fair, who: str | None, sees: list[str]
) -> None:
    stranger = await market.user()
    viewer = stranger if who == "stranger" else getattr(fair, who) if who else None
    items = select(OrderItem).where(OrderItem.store_order_id == fair.baked.id)
    bread = (await market.session.scalars(items)).one()
    ids = {"part": gid(fair.baked), "bread": gid(bread)}

    answers = await paths.ask("query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", {"ids": [*ids.values()]}, user=viewer)

    assert answers.data["nodes"] == [{"id": id} if name in sees else None for name, id in ids.items()]


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


async def test_the_orders_of_a_store_are_its_parts_of_them(paths: Paths, market: Market, fair: Fair) -> None:
    for viewer in (fair.baker, await market.superuser()):
        answers = await paths.ask(OF_STORE, {"id": gid(fair.bakery)}, user=viewer)
        assert answers.data["store"]["orders"] == {"nodes": [of_bakery(fair)], "totalCount": 1}


@pytest.mark.parametrize("who", ["customer", "vintner", None])
async def test_to_anyone_else_the_orders_of_a_store_are_null(paths: Paths, fair: Fair, who: str | None) -> None:
    viewer = getattr(fair, who) if who else None

    answers = await paths.ask(OF_STORE, {"id": gid(fair.bakery)}, user=viewer)

    assert answers.data == {"store": {"orders": None}}


async def test_the_orders_of_a_store_cannot_be_filtered_by_what_else_was_ordered(api: Api, fair: Fair) -> None:
    probe = """
    query ($id: ID!, $other: ID!) { store(id: $id) { orders(filter: { storeId: $other }) { totalCount } } }
    """

    error = await api.error(probe, {"id": gid(fair.bakery), "other": gid(fair.cellar)}, user=fair.baker)

    assert error["code"] == "GRAPHQL_VALIDATION_FAILED"
    assert "storeId" in error["message"]


async def test_each_store_of_an_owner_has_its_own_part_of_an_order(api: Api, market: Market, fair: Fair) -> None:
    second = await market.store(fair.baker)
    both = await market.order(fair.customer, fair.bread, await market.product(second))

    data = await api.data(OF_STORE, {"id": gid(second)}, user=fair.baker)

    (part,) = data["store"]["orders"]["nodes"]
    assert part["id"] == gid(await market.store_order(both, second))
    assert part["number"] == both.number
    assert len(part["items"]) == 1


async def test_a_user_sees_their_own_orders_on_their_account(api: Api, fair: Fair) -> None:
    data = await api.data(OF_USER, {"id": gid(fair.customer)}, user=fair.customer)

    assert data["user"]["orders"] == {"edges": [{"node": {"id": gid(fair.order)}}], "totalCount": 1}


async def test_a_superuser_sees_the_orders_of_every_account(api: Api, market: Market, fair: Fair) -> None:
    data = await api.data(OF_USER, {"id": gid(fair.customer)}, user=await market.superuser())

    assert data["user"]["orders"]["totalCount"] == 1


@pytest.mark.parametrize("who", ["baker", None])
async def test_to_anyone_else_the_orders_of_an_account_are_null(paths: Paths, fair: Fair, who: str | None) -> None:
    viewer = getattr(fair, who) if who else None

    answers = await paths.ask(OF_USER, {"id": gid(fair.customer)}, user=viewer)

    assert answers.data == {"user": {"orders": None}}


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

    assert result["data"] == {"orders": None}
    assert [error["extensions"]["code"] for error in result["errors"]] == ["UNAUTHENTICATED"]


async def test_an_owner_learns_the_name_of_the_customer_and_not_their_account(api: Api, fair: Fair) -> None:
    error = await api.error(
        "query ($id: ID!) { node(id: $id) { ... on StoreOrder { customer { id } } } }",
        {"id": gid(fair.baked)},
        user=fair.baker,
    )

    assert error["code"] == "GRAPHQL_VALIDATION_FAILED"


async def test_a_deleted_product_still_resolves_in_an_item(api: Api, market: Market, fair: Fair) -> None:
    fair.bread.deleted_at = fair.bakery.deleted_at = datetime.now(UTC)
    await market.session.commit()
    item = "items { product { id deletedAt store { id } } }"
    query = f"query ($id: ID!) {{ node(id: $id) {{ ... on Order {{ {item} }} ... on StoreOrder {{ {item} }} }} }}"

    for viewer, seen in ((fair.customer, fair.order), (fair.customer, fair.baked), (fair.baker, fair.baked)):
        data = await api.data(query, {"id": gid(seen)}, user=viewer)
        product = data["node"]["items"][0]["product"]
        assert (product["id"], product["store"]["id"]) == (gid(fair.bread), gid(fair.bakery))
        assert product["deletedAt"] is not None


async def test_an_order_outlives_the_account_of_its_customer(api: Api, market: Market, fair: Fair) -> None:
    await api.data(
        f'mutation {{ deleteUser(input: {{ id: "{gid(fair.customer)}" }}) {{ __typename }} }}', user=fair.customer
    )
    query = "query ($id: ID!) { order(id: $id) { id customer { id } } }"

    data = await api.data(query, {"id": gid(fair.order)}, user=await market.superuser())
    of_store = await api.data(OF_STORE, {"id": gid(fair.bakery)}, user=fair.baker)

    assert data["order"] == {"id": gid(fair.order), "customer": None}
    assert of_store["store"]["orders"]["nodes"] == [of_bakery(fair)]
