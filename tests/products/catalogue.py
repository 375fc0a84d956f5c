"""How the tests of products browse the catalogue."""

from typing import Any

from tests.api import Api

NAMES = """
query ($filter: ProductFilter, $orderBy: ProductSort) {
  products(filter: $filter, orderBy: $orderBy) { nodes { name } }
}
"""
NAMES_IN_STORE = """
query ($store: ID!, $filter: ProductFilter, $orderBy: ProductSort) {
  store(id: $store) { products(filter: $filter, orderBy: $orderBy) { nodes { name } } }
}
"""


async def names(api: Api, filter: Any = None, order_by: Any = None) -> list[str]:
    """Return the names of the products that the catalogue shows, in its order."""
    data = await api.data(NAMES, {"filter": filter, "orderBy": order_by})
    return [node["name"] for node in data["products"]["nodes"]]


async def names_in_store(api: Api, store: str, filter: Any = None, order_by: Any = None) -> list[str]:
    """Return the names of the products that the store shows, in its order."""
    data = await api.data(NAMES_IN_STORE, {"store": store, "filter": filter, "orderBy": order_by})
    return [node["name"] for node in data["store"]["products"]["nodes"]]
