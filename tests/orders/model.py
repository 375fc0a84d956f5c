"""The rules of the shop in plain Python: two stores of two products each, and the orders of two customers."""

from dataclasses import dataclass, field
from typing import Any

STOCKS = (9, 6, 3, None)
PRICE = 10


@dataclass
class Product:
    stock: int | None
    price: int = PRICE
    version: int = 1
    deleted: str | None = None  # "alone" or "with its store"

    def put(self, **values: Any) -> None:
        """Change the product; where nothing changes, it is no new version."""
        if any(getattr(self, name) != value for name, value in values.items()):
            self.version += 1
        vars(self).update(values)

    def take(self, quantity: int) -> None:
        """Take units from the stock, which is no new version."""
        if self.stock is not None:
            self.stock -= quantity


@dataclass
class Order:
    customer: int
    quantities: dict[int, int]
    prices: dict[int, int]
    taken: set[int]
    parts: dict[int, str] = field(default_factory=dict)
    """The status of the part of each store."""
    fulfilled: set[int] = field(default_factory=set)
    deleted: bool = False

    def __post_init__(self) -> None:
        self.parts = {number // 2: "OPEN" for number in sorted(self.quantities)}

    @property
    def status(self) -> str:
        left = set(self.parts.values()) - {"DECLINED", "CANCELLED"}
        if not left:
            return "CANCELLED"
        if left == {"FULFILLED"}:
            return "FULFILLED"
        return "PARTIALLY_FULFILLED" if self.fulfilled else "PLACED"

    def of_store(self, store: int) -> set[int]:
        return {number for number in self.quantities if number // 2 == store}


class Model:
    """Each step returns the kind of answer that the API must give."""

    def __init__(self) -> None:
        self.products = [Product(stock) for stock in STOCKS]
        self.closed = [False, False]
        self.orders: list[Order] = []

    def products_of(self, store: int) -> dict[int, Product]:
        return {number: product for number, product in enumerate(self.products) if number // 2 == store}

    def order(self, number: int) -> Order | None:
        """Return the order with this number, counted round and round, unless it is deleted."""
        found = self.orders[number % len(self.orders)] if self.orders else None
        return None if found is None or found.deleted else found

    def place(self, customer: int, quantities: dict[int, int]) -> str:
        chosen = {number: self.products[number] for number in quantities}
        if any(product.deleted for product in chosen.values()):
            return "NotFound"
        if any(product.stock is not None and product.stock < quantities[key] for key, product in chosen.items()):
            return "InsufficientStock"
        taken = {number for number, product in chosen.items() if product.stock is not None}
        for number, product in chosen.items():
            product.take(quantities[number])
        prices = {number: product.price for number, product in chosen.items()}
        self.orders.append(Order(customer, quantities, prices, taken))
        return "PlaceOrderSuccess"

    def cancel(self, customer: int, number: int) -> str:
        order = self.order(number)
        if order is None or order.customer != customer:
            return "NotFound"
        if order.status != "PLACED":
            return "InvalidTransition"
        self._cancel(order)
        return "CancelOrderSuccess"

    def fulfill(self, store: int, number: int, products: list[int] | None) -> str:
        order = self.order(number)
        if order is None or store not in order.parts:
            return "NotFound"
        if order.parts[store] != "OPEN":
            return "InvalidStoreOrderTransition"
        left = order.of_store(store) - order.fulfilled
        chosen = sorted(left) if products is None else products
        if len(set(chosen)) < len(chosen) or not set(chosen) <= left:
            return "InvalidInput"
        order.fulfilled |= set(chosen)
        if order.of_store(store) <= order.fulfilled:
            order.parts[store] = "FULFILLED"
        return "FulfillStoreOrderSuccess"

    def decline(self, store: int, number: int) -> str:
        order = self.order(number)
        if order is None or store not in order.parts:
            return "NotFound"
        if order.parts[store] != "OPEN" or order.of_store(store) & order.fulfilled:
            return "InvalidStoreOrderTransition"
        self._give_back(order, store, "DECLINED")
        return "DeclineStoreOrderSuccess"

    def delete_order(self, number: int) -> str:
        order = self.order(number)
        if order is None:
            return "NotFound"
        if order.status == "PLACED":
            self._cancel(order)
        order.deleted = True
        return "DeleteOrderSuccess"

    def delete_product(self, number: int) -> str:
        if self.products[number].deleted:
            return "NotFound"
        self.products[number].put(deleted="alone")
        return "DeleteProductSuccess"

    def restore_product(self, number: int) -> str:
        if self.products[number].deleted and self.closed[number // 2]:
            return "NotFound"
        self.products[number].put(deleted=None)
        return "RestoreProductSuccess"

    def delete_store(self, store: int) -> str:
        if self.closed[store]:
            return "NotFound"
        self.closed[store] = True
        for product in self.products_of(store).values():
            product.put(deleted=product.deleted or "with its store")
        return "DeleteStoreSuccess"

    def restore_store(self, store: int) -> str:
        self.closed[store] = False
        for product in self.products_of(store).values():
            product.put(deleted="alone" if product.deleted == "alone" else None)
        return "RestoreStoreSuccess"

    def update(self, number: int, changes: dict[str, Any]) -> str:
        if self.products[number].deleted:
            return "NotFound"
        self.products[number].put(**changes)
        return "UpdateProductSuccess"

    def adjust_stock(self, number: int, delta: int) -> str:
        product = self.products[number]
        if product.deleted:
            return "NotFound"
        if product.stock is None or product.stock + delta < 0:
            return "InvalidInput"
        product.stock += delta
        return "AdjustStockSuccess"

    def set_stock(self, number: int, stock: int | None, expected: list[int | None]) -> str:
        """Set the stock; where one is expected, it is the one item of the list."""
        product = self.products[number]
        if product.deleted:
            return "NotFound"
        if expected and expected[0] != product.stock:
            return "StaleStock"
        product.stock = stock
        return "SetStockSuccess"

    def _cancel(self, order: Order) -> None:
        for store, status in order.parts.items():
            if status == "OPEN":
                self._give_back(order, store, "CANCELLED")

    def _give_back(self, order: Order, store: int, status: str) -> None:
        order.parts[store] = status
        for number in order.of_store(store) & order.taken:
            self.products[number].take(-order.quantities[number])

    def shown(self) -> dict[str, Any]:
        """Return what everyone sees in lists, and what a superuser sees of each product and order."""
        return {
            "stores": [store for store, closed in enumerate(self.closed) if not closed],
            "catalogue": [number for number, product in enumerate(self.products) if not product.deleted],
            "products": [
                (product.stock, f"{product.price}.00", product.version, product.deleted is not None)
                for product in self.products
            ],
            "orders": [
                None
                if order.deleted
                else (
                    order.status,
                    {
                        store: (
                            status,
                            f"{sum(order.prices[n] * order.quantities[n] for n in order.of_store(store))}.00",
                        )
                        for store, status in order.parts.items()
                    },
                    {
                        number: (quantity, f"{order.prices[number]}.00", number in order.fulfilled)
                        for number, quantity in order.quantities.items()
                    },
                )
                for order in self.orders
            ],
            "parts": [None if order.deleted else status for order in self.orders for status in order.parts.values()],
        }
