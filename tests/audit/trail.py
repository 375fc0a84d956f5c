"""The audit trail as tests look at it, and a shop to leave traces in."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.models import AuditEntry, Order, Product, RefreshToken, Session, Store, StoreOrder, User
from app.global_ids import global_id
from app.graphql.failures import HANDLERS
from app.security.tokens import refresh_token_hash
from tests.api import Api
from tests.market import Market

REFRESH_TOKEN = "the refresh token of the customer"
FAILURES = {handler.error_type.__name__ for handler in HANDLERS}


class Line(NamedTuple):
    """A line of the audit trail: users and entities by their global ids, fields in the order of the alphabet."""

    operation: str
    actor: str | None
    entity: str | None
    fields: str


async def trail(connection: AsyncConnection) -> list[Line]:
    """Return every line, the first one first."""
    entries = (await connection.execute(select(AuditEntry.__table__).order_by(AuditEntry.id))).all()
    return [
        Line(
            entry.operation,
            entry.actor_id and global_id("User", entry.actor_id),
            entry.entity_id and global_id(entry.entity_type, entry.entity_id),
            " ".join(sorted(entry.fields)),
        )
        for entry in entries
    ]


@dataclass
class Shop:
    """A store with a product, of which a customer who is logged in has ordered one."""

    api: Api
    market: Market
    superuser: User
    owner: User
    store: Store
    product: Product
    customer: User
    order: Order
    part: StoreOrder

    @classmethod
    async def open(cls, api: Api, market: Market) -> "Shop":
        superuser, owner, customer = await market.superuser(), await market.user(), await market.user()
        store = await market.store(owner)
        product = await market.product(store, stock=5)
        login = await market.add(Session(user_id=customer.id))
        token = RefreshToken(
            session_id=login.id,
            token_hash=refresh_token_hash(REFRESH_TOKEN),
            expires_at=datetime.now(UTC) + timedelta(days=1),
        )
        await market.add(token)
        order = await market.order(customer, product)
        part = await market.store_order(order, store)
        return cls(api, market, superuser, owner, store, product, customer, order, part)

    async def run(self, document: str, variables: dict[str, Any], user: User | None) -> Any:
        """Return the payload of an operation's one field."""
        (payload,) = (await self.api.data(document, variables, user=user)).values()
        return payload


def is_failure(payload: Any) -> bool:
    """Tell whether the payload is a typed failure."""
    return isinstance(payload, dict) and payload["__typename"] in FAILURES
