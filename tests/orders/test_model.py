"""Whatever is done with orders, products and stores, in any order: the API answers and shows what the model does."""

from itertools import chain
from typing import Any, Self

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.models import Product, Store, User
from tests.api import Api
from tests.market import Market, gid
from tests.orders import operations as orders
from tests.orders.model import PRICE, STOCKS, Model
from tests.products import changes as products
from tests.stores import operations as stores

SHOWN = """
query ($products: [ID!]!, $orders: [ID!]!) {
  openStores: stores { nodes { id } }
  catalogue: products { nodes { id } }
  products: nodes(ids: $products) { ... on Product { stock price { amount } version deletedAt } }
  orders: nodes(ids: $orders) {
    ... on Order { status items { product { id } quantity unitPrice { amount } fulfilledAt } }
  }
}
"""


class Shop:
    """What the model is, behind the API. Each step returns the kind of its answer."""

    def __init__(self, api: Api, superuser: User, owners: list[User], customers: list[User]) -> None:
        self.api = api
        self.superuser = superuser
        self.owners = owners
        self.customers = customers
        self.stores: list[Store] = []
        self.products: list[Product] = []
        self.orders: list[str] = []

    @classmethod
    async def open(cls, api: Api, market: Market) -> Self:
        users = [await market.user() for _ in range(4)]
        shop = cls(api, await market.superuser(), users[:2], users[2:])
        shop.stores = [await market.store(owner) for owner in shop.owners]
        shop.products = [
            await market.product(shop.stores[number // 2], stock=stock, price=PRICE)
            for number, stock in enumerate(STOCKS)
        ]
        return shop

    async def place(self, customer: int, quantities: dict[int, int]) -> Any:
        items = [orders.item(self.products[number], quantity) for number, quantity in quantities.items()]
        answer = await orders.place(self.api, self.customers[customer], *items)
        if answer["__typename"] == "Order":
            self.orders.append(answer["id"])
        return answer["__typename"]

    async def cancel(self, customer: int, number: int) -> Any:
        answer = await orders.cancel(self.api, self.customers[customer], self._order(number))
        return answer["__typename"]

    async def fulfil(self, store: int, number: int, chosen: list[int]) -> Any:
        items = [self.products[product] for product in chosen]
        return (await orders.fulfil(self.api, self.owners[store], self._order(number), *items))["__typename"]

    async def delete_order(self, number: int) -> Any:
        return (await orders.delete(self.api, self.superuser, self._order(number)))["__typename"]

    async def delete_product(self, number: int) -> Any:
        owner, product = self.owners[number // 2], self.products[number]
        return (await products.delete(self.api, owner, gid(product)))["__typename"]

    async def restore_product(self, number: int) -> Any:
        owner, product = self.owners[number // 2], self.products[number]
        return (await products.restore(self.api, owner, gid(product)))["__typename"]

    async def update(self, number: int, changes: dict[str, Any]) -> Any:
        owner, product = self.owners[number // 2], self.products[number]
        return (await products.update(self.api, owner, id=gid(product), **changes))["__typename"]

    async def delete_store(self, store: int) -> Any:
        return (await stores.delete(self.api, self.owners[store], self.stores[store]))["__typename"]

    async def restore_store(self, store: int) -> Any:
        return (await stores.restore(self.api, self.owners[store], self.stores[store]))["__typename"]

    async def shown(self) -> dict[str, Any]:
        """Return what the model shows."""
        store_ids, product_ids = [gid(store) for store in self.stores], [gid(product) for product in self.products]
        data = await self.api.data(SHOWN, {"products": product_ids, "orders": self.orders}, user=self.superuser)
        return {
            "stores": [store_ids.index(node["id"]) for node in data["openStores"]["nodes"]],
            "catalogue": [product_ids.index(node["id"]) for node in data["catalogue"]["nodes"]],
            "products": [
                (product["stock"], product["price"]["amount"], product["version"], product["deletedAt"] is not None)
                for product in data["products"]
            ],
            "orders": [
                order
                and (
                    order["status"],
                    {
                        product_ids.index(item["product"]["id"]): (
                            item["quantity"],
                            item["unitPrice"]["amount"],
                            item["fulfilledAt"] is not None,
                        )
                        for item in order["items"]
                    },
                )
                for order in data["orders"]
            ],
        }

    def _order(self, number: int) -> str:
        return self.orders[number % len(self.orders)] if self.orders else f"Order_{orders.NOBODY_ID}"


STORES = st.integers(0, 1)
PRODUCTS = st.integers(0, len(STOCKS) - 1)
ORDERS = st.integers(0, 5)
PLACE = st.tuples(
    st.just("place"), st.just(0), st.dictionaries(PRODUCTS, st.integers(1, 3), min_size=3, max_size=len(STOCKS))
)
CANCEL = st.tuples(st.just("cancel"), st.sampled_from([0, 1, 0, 0]), ORDERS)
FULFIL = st.one_of(
    st.tuples(st.just("fulfil"), st.just(0), ORDERS, st.sampled_from([[0], [1], [1, 0], [1, 1], [2]])),
    st.tuples(st.just("fulfil"), st.just(1), ORDERS, st.sampled_from([[3], [2], [2, 3], [0, 2]])),
)
CHANGES = st.one_of(
    st.fixed_dictionaries({"stock": st.none() | st.integers(0, 5)}),
    st.fixed_dictionaries({"price": st.integers(9, 11)}),
)
UPDATE = st.tuples(st.just("update"), PRODUCTS, CHANGES)
OPEN_OR_CLOSE = st.tuples(st.sampled_from(["delete_store", "restore_store"]), STORES)
DELETE_OR_RESTORE = st.tuples(st.sampled_from(["restore_product", "delete_product"]), PRODUCTS)
DELETE_ORDER = st.tuples(st.just("delete_order"), ORDERS)


def closed_meanwhile(product: int) -> list[tuple[Any, ...]]:
    """Return the steps that delete a product and its store, and restore them."""
    store = product // 2
    return [
        *(("delete_product", product), ("delete_store", store)),
        *(("restore_product", product), ("restore_store", store)),
    ]


STEPS = st.one_of(
    *(
        st.lists(step, min_size=1, max_size=1)
        for step in (CANCEL, FULFIL, UPDATE, OPEN_OR_CLOSE, DELETE_OR_RESTORE, FULFIL, DELETE_ORDER, PLACE)
    ),
    PRODUCTS.map(closed_meanwhile),
)
# Orders are placed before, or little could happen to them.
RUNS = st.tuples(st.lists(PLACE, min_size=2, max_size=3), st.lists(STEPS, min_size=8, max_size=16))


@settings(
    max_examples=20,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.generate],  # a run takes too long to look for the shortest that fails
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(run=RUNS)
async def test_the_shop_does_what_its_model_does(
    api: Api,
    market: Market,
    connection: AsyncConnection,
    run: tuple[list[tuple[Any, ...]], list[list[tuple[Any, ...]]]],
) -> None:
    placed_before, steps = run
    async with connection.begin_nested() as world:
        model, shop = Model(), await Shop.open(api, market)
        for name, *arguments in chain(placed_before, *steps):
            predicted = getattr(model, name)(*arguments)
            assert await getattr(shop, name)(*arguments) == predicted, name
            assert await shop.shown() == model.shown()
        await world.rollback()
