"""A shop whose changes are committed."""

from collections import Counter
from dataclasses import dataclass
from typing import Any, Self

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from app.db.models import AuditEntry, Base, Product, Store, User
from tests.api import Api
from tests.market import Market
from tests.orders.operations import number_of


@dataclass
class Shop:
    """A store with one product, and where it is kept."""

    api: Api
    engine: AsyncEngine
    owner: User
    store: Store
    product: Product

    @classmethod
    async def open(cls, api: Api, market: Market, engine: AsyncEngine) -> Self:
        owner = await market.user()
        store = await market.store(owner)
        return cls(api, engine, owner, store, await market.product(store))

    async def stored(self, model: type[Base]) -> int:
        """Return how many rows of the table are committed."""
        async with self.engine.connect() as connection:
            return await number_of(connection, model)

    async def audited(self) -> Counter[tuple[Any, ...]]:
        """Return how often the audit trail has each line: the request, what it called, and what that changed."""
        lines = select(AuditEntry.request_id, AuditEntry.operation, AuditEntry.entity_id)
        async with self.engine.connect() as connection:
            return Counter(tuple(row) for row in await connection.execute(lines))
