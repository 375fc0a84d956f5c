"""The mutations of stores' parts of orders, as tests send them."""

from typing import Any

from app.db.models import OrderItem, StoreOrder, User
from tests.api import Api
from tests.market import gid

_PART = """
fragment part on StoreOrder {
  id number status declineReason total { amount currency } items { id productName fulfilledAt }
}
"""
_FAILURES = """
... on NotFound { missingId message }
... on InvalidInput { issues { path code message } }
... on InvalidStoreOrderTransition { status message }
"""
FULFILL = f"""
mutation ($input: FulfillStoreOrderInput!) {{
  fulfillStoreOrder(input: $input) {{
    __typename
    ... on FulfillStoreOrderSuccess {{ storeOrder {{ ...part }} storeOrderEdge {{ cursor node {{ id }} }} }}
    {_FAILURES}
  }}
}}
{_PART}
"""
DECLINE = f"""
mutation ($input: DeclineStoreOrderInput!) {{
  declineStoreOrder(input: $input) {{
    __typename
    ... on DeclineStoreOrderSuccess {{ storeOrder {{ ...part }} storeOrderEdge {{ cursor node {{ id }} }} }}
    {_FAILURES}
  }}
}}
{_PART}
"""


async def fulfill(api: Api, user: User, part: StoreOrder | str, *items: OrderItem | str) -> Any:
    """Fulfill items of a part of an order, or all that aren't yet; return the result."""
    chosen = [item if isinstance(item, str) else gid(item) for item in items]
    given = {"id": _id_of(part), "itemIds": chosen} if chosen else {"id": _id_of(part)}
    return (await api.data(FULFILL, {"input": given}, user=user))["fulfillStoreOrder"]


async def decline(api: Api, user: User, part: StoreOrder | str, reason: str = "Sold out") -> Any:
    """Decline a part of an order and return the result."""
    variables = {"input": {"id": _id_of(part), "reason": reason}}
    return (await api.data(DECLINE, variables, user=user))["declineStoreOrder"]


def _id_of(part: StoreOrder | str) -> str:
    return part if isinstance(part, str) else gid(part)
