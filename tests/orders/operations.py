"""The mutations of orders, as tests send them."""

from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.models import Base, Order, Product, User
from tests.api import Api
from tests.market import Market, gid

NOBODY_ID = UUID("01970000-0000-7000-8000-000000000000")

_ORDER = """
fragment order on Order {
  id
  status
  customer { id }
  totals { amount currency }
  storeOrders { id status }
  items {
    product { id }
    quantity
    fulfilledAt
    unitPrice { amount currency }
    lineTotal { amount currency }
  }
}
"""
_NOT_FOUND = "... on NotFound { missingId message }"
_INVALID_INPUT = "... on InvalidInput { issues { path code message } }"
PLACE = f"""
mutation ($items: [OrderItemInput!]!) {{
  placeOrder(input: {{ items: $items }}) {{
    __typename
    ... on PlaceOrderSuccess {{ order {{ ...order }} }}
    ... on InsufficientStock {{ shortages {{ requested available product {{ id }} }} }}
    {_NOT_FOUND}
    {_INVALID_INPUT}
  }}
}}
{_ORDER}
"""
PLACE_IN_TRANSACTION = PLACE.replace("placeOrder", "__typename placeOrder", 1)
"""As a field beside it makes it: alone, an order is a statement that commits by itself."""
CANCEL = f"""
mutation ($id: ID!) {{
  cancelOrder(input: {{ id: $id }}) {{
    __typename
    ... on CancelOrderSuccess {{ order {{ ...order }} }}
    ... on InvalidTransition {{ status }}
    {_NOT_FOUND}
  }}
}}
{_ORDER}
"""
DELETE = f"""
mutation ($id: ID!) {{
  deleteOrder(input: {{ id: $id }}) {{ __typename ... on DeleteOrderSuccess {{ deletedOrderId }} {_NOT_FOUND} }}
}}
"""


def item(product: Product | str, quantity: int = 1) -> dict[str, Any]:
    """Return an item of placeOrder."""
    return {"productId": product if isinstance(product, str) else gid(product), "quantity": quantity}


async def place(api: Api, user: User, *items: dict[str, Any]) -> Any:
    """Place an order and return its result."""
    return (await api.data(PLACE, {"items": list(items)}, user=user))["placeOrder"]


async def cancel(api: Api, user: User, order: Order | str) -> Any:
    """Cancel an order and return the result."""
    id = order if isinstance(order, str) else gid(order)
    return (await api.data(CANCEL, {"id": id}, user=user))["cancelOrder"]


async def delete(api: Api, user: User, order: Order | str) -> Any:
    """Delete an order and return the result."""
    id = order if isinstance(order, str) else gid(order)
    return (await api.data(DELETE, {"id": id}, user=user))["deleteOrder"]


def kinds(result: Any) -> list[tuple[list[str], str]]:
    """Return the path and the code of each issue of an InvalidInput."""
    return [(issue["path"], issue["code"]) for issue in result["issues"]]


async def stock_of(market: Market, product: Product) -> int | None:
    """Return how many are left in the database."""
    return (await market.reload(product)).stock


async def number_of(connection: AsyncConnection, model: type[Base]) -> int:
    """Return how many rows the table has, deleted or not."""
    return await connection.scalar(select(func.count()).select_from(model)) or 0
