"""The subscriptions, as tests send them."""

from app.db.models import Product, User
from tests.api import Api
from tests.market import gid

ORDER = """
subscription ($id: ID!) { orderUpdated(orderId: $id) { order { id status items { quantity product { name } } } } }
"""
PART = """
subscription ($id: ID!) {
  storeOrderUpdated(storeOrderId: $id) { storeOrder { id status declineReason items { productName fulfilledAt } } }
}
"""
PRODUCT = "subscription ($id: ID!) { productUpdated(productId: $id) { product { stock price { amount } } } }"
PLACED = """
subscription ($id: ID!) { storeOrderPlaced(storeId: $id) { storeOrder { number customerName items { quantity } } } }
"""
SET_STOCK = "mutation ($id: ID!, $stock: Int) { setStock(input: { productId: $id, stock: $stock }) { __typename } }"


async def set_stock(api: Api, user: User, product: Product, stock: int) -> None:
    """Set the stock of a product."""
    data = await api.data(SET_STOCK, {"id": gid(product), "stock": stock}, user=user)
    assert data == {"setStock": {"__typename": "SetStockSuccess"}}
