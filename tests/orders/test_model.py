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
from tests.orders.store_orders import decline, fulfill
from tests.products import changes as products
from tests.stores import operations as stores

SHOWN = """
query ($products: [ID!]!, $orders: [ID!]!, $parts: [ID!]!) {
  openStores: stores { nodes { id } }
  catalogue: products { nodes { id } }
  products: nodes(ids: $products) { ... on Product { stock price { amount } version deletedAt } }
  orders: nodes(ids: $orders) {
    ... on Order {
      status
      storeOrders { store { id } status total { amount } }
      items { product { id } quantity unitPrice { amount } fulfilledAt }
    }
  }
  parts: nodes(ids: $parts) { ... on StoreOrder { status } }
}
"""
IDS = """
query ($id: ID!) { order(id: $id) { storeOrders { id store { id } } items { id product { id } } } }
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
        self.parts: dict[str, dict[int, str]] = {}
        """The ids of each order's parts, by their stores."""
        self.items: dict[str, dict[int, str]] = {}
        """The ids of each order's items, by their products."""

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
        if answer["__typename"] == "PlaceOrderSuccess":
            await self._remember(answer["order"]["id"])
        return answer["__typename"]

    async def _remember(self, order: str) -> None:
        self.orders.append(order)
        seen = (await self.api.data(IDS, {"id": order}, user=self.superuser))["order"]
        stores, products = [gid(store) for store in self.stores], [gid(product) for product in self.products]
        self.parts[order] = {stores.index(part["store"]["id"]): part["id"] for part in seen["storeOrders"]}
        self.items[order] = {products.index(item["product"]["id"]): item["id"] for item in seen["items"]}

    async def cancel(self, customer: int, number: int) -> Any:
        answer = await orders.cancel(self.api, self.customers[customer], self._order(number))
        return answer["__typename"]

    async def fulfill(self, store: int, number: int, chosen: list[int] | None) -> Any:
        known = self.items.get(self._order(number), {})
        items = [known.get(product, f"OrderItem_{orders.NOBODY_ID}") for product in chosen or ()]
        return (await fulfill(self.api, self.owners[store], self._part(store, number), *items))["__typename"]

    async def decline(self, store: int, number: int) -> Any:
        return (await decline(self.api, self.owners[store], self._part(store, number)))["__typename"]

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

    async def adjust_stock(self, number: int, delta: int) -> Any:
        owner, product = self.owners[number // 2], self.products[number]
        return (await products.adjust_stock(self.api, owner, productId=gid(product), delta=delta))["__typename"]

    async def set_stock(self, number: int, stock: int | None, expected: list[int | None]) -> Any:
        owner, given = self.owners[number // 2], {"productId": gid(self.products[number]), "stock": stock}
        given |= {"expectedStock": expected[0]} if expected else {}
        return (await products.set_stock(self.api, owner, **given))["__typename"]

    async def delete_store(self, store: int) -> Any:
        return (await stores.delete(self.api, self.owners[store], self.stores[store]))["__typename"]

    async def restore_store(self, store: int) -> Any:
        return (await stores.restore(self.api, self.owners[store], self.stores[store]))["__typename"]

    async def shown(self) -> dict[str, Any]:
        """Return what the model shows."""
        store_ids, product_ids = [gid(store) for store in self.stores], [gid(product) for product in self.products]
        parts = [part for order in self.orders for _, part in sorted(self.parts[order].items())]
        variables = {"products": product_ids, "orders": self.orders, "parts": parts}
        data = await self.api.data(SHOWN, variables, user=self.superuser)
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
                        store_ids.index(part["store"]["id"]): (part["status"], part["total"]["amount"])
                        for part in order["storeOrders"]
                    },
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
            "parts": [part and part["status"] for part in data["parts"]],
        }

    def _part(self, store: int, number: int) -> str:
        return self.parts.get(self._order(number), {}).get(store, f"StoreOrder_{orders.NOBODY_ID}")

    def _order(self, number: int) -> str:
        return self.orders[number % len(self.orders)] if self.orders else f"Order_{orders.NOBODY_ID}"


STORES = st.integers(0, 1)
PRODUCTS = st.integers(0, len(STOCKS) - 1)
ORDERS = st.integers(0, 5)
PLACE = st.tuples(
    st.just("place"), st.just(0), st.dictionaries(PRODUCTS, st.integers(1, 3), min_size=3, max_size=len(STOCKS))
)
CANCEL = st.tuples(st.just("cancel"), st.sampled_from([0, 1, 0, 0]), ORDERS)
FULFILL = st.one_of(
    st.tuples(st.just("fulfill"), st.just(0), ORDERS, st.sampled_from([[0], [1], [1, 0], [1, 1], [2], None])),
    st.tuples(st.just("fulfill"), st.just(1), ORDERS, st.sampled_from([[3], [2], [2, 3], [0, 2], None])),
)
DECLINE = st.tuples(st.just("decline"), STORES, ORDERS)
CHANGES = st.fixed_dictionaries({"price": st.integers(9, 11)})
STOCK = st.none() | st.integers(0, 5)
SET_STOCK = st.tuples(st.just("set_stock"), PRODUCTS, STOCK, st.lists(STOCK, max_size=1))
ADJUST_STOCK = st.tuples(st.just("adjust_stock"), PRODUCTS, st.integers(-3, 3))
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
        for step in (
            *(CANCEL, FULFILL, DECLINE, FULFILL, DELETE_ORDER, PLACE),
            *(UPDATE, SET_STOCK, ADJUST_STOCK, OPEN_OR_CLOSE, DELETE_OR_RESTORE),
        )
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
