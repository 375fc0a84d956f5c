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
        if self.stock is not None:
            self.put(stock=self.stock - quantity)


@dataclass
class Order:
    customer: int
    quantities: dict[int, int]
    prices: dict[int, int]
    taken: set[int]
    status: str = "PLACED"
    fulfilled: set[int] = field(default_factory=set)
    deleted: bool = False


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
        return "Order"

    def cancel(self, customer: int, number: int) -> str:
        order = self.order(number)
        if order is None or order.customer != customer:
            return "NotFound"
        if order.status != "PLACED":
            return "InvalidTransition"
        self._give_back(order)
        return "Order"

    def fulfil(self, store: int, number: int, products: list[int]) -> str:
        order = self.order(number)
        own = [] if order is None else [key for key in order.quantities if key // 2 == store]
        if order is None or not own:
            return "NotFound"
        if order.status not in ("PLACED", "PARTIALLY_FULFILLED"):
            return "InvalidTransition"
        if len(set(products)) < len(products) or not set(products) <= set(own) - order.fulfilled:
            return "InvalidInput"
        order.fulfilled |= set(products)
        order.status = "FULFILLED" if order.fulfilled == set(order.quantities) else "PARTIALLY_FULFILLED"
        return "Order"

    def delete_order(self, number: int) -> str:
        order = self.order(number)
        if order is None:
            return "NotFound"
        if order.status == "PLACED":
            self._give_back(order)
        order.deleted = True
        return "OrderDeleted"

    def delete_product(self, number: int) -> str:
        if self.products[number].deleted:
            return "NotFound"
        self.products[number].put(deleted="alone")
        return "Product"

    def restore_product(self, number: int) -> str:
        if self.products[number].deleted and self.closed[number // 2]:
            return "NotFound"
        self.products[number].put(deleted=None)
        return "Product"

    def delete_store(self, store: int) -> str:
        if self.closed[store]:
            return "NotFound"
        self.closed[store] = True
        for product in self.products_of(store).values():
            product.put(deleted=product.deleted or "with its store")
        return "Store"

    def restore_store(self, store: int) -> str:
        self.closed[store] = False
        for product in self.products_of(store).values():
            product.put(deleted="alone" if product.deleted == "alone" else None)
        return "Store"

    def update(self, number: int, changes: dict[str, Any]) -> str:
        if self.products[number].deleted:
            return "NotFound"
        self.products[number].put(**changes)
        return "Product"

    def _give_back(self, order: Order) -> None:
        order.status = "CANCELLED"
        for number in order.taken:
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
                        number: (quantity, f"{order.prices[number]}.00", number in order.fulfilled)
                        for number, quantity in order.quantities.items()
                    },
                )
                for order in self.orders
            ],
        }
