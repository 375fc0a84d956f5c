"""A shop that commits, on a server that speaks websockets."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from app.db.models import Order, OrderItem, Product, Store, User
from app.graphql.operations.services import Services
from app.graphql.subscriptions.manager import SubscriptionManager
from app.main import application, create_services
from app.settings import Settings
from tests.api import Api
from tests.connections import PROTOCOLS
from tests.databases import committed, committing
from tests.graphql.subscriptions.clients import serving, until
from tests.market import Market


@dataclass
class Shop:
    """A store with one product, its owner and a customer; and where the API is served."""

    address: str
    api: Api
    market: Market
    engine: AsyncEngine
    owner: User
    customer: User
    store: Store
    product: Product
    services: Services

    @property
    def live(self) -> SubscriptionManager:
        return self.services.subscriptions

    def token(self, user: User) -> str:
        return self.api.token(user)

    async def followed(self, number: int) -> None:
        """Wait until there are this many subscriptions, which follow what they follow."""
        await until(lambda: len(self.live.events) == number)

    async def item_of(self, order: Order, product: Product) -> OrderItem:
        """Return the item of an order that is this product."""
        item = select(OrderItem).where(OrderItem.order_id == order.id, OrderItem.product_id == product.id)
        return (await self.market.session.scalars(item)).one()

    async def sql(self, statement: str, **parameters: Any) -> Any:
        """Run a statement and commit it; return its rows, if it has any."""
        return await committed(self.engine, statement, **parameters)


@pytest.fixture
def changed_settings() -> dict[str, Any]:
    """The settings that differ from those of other tests; a test's module may say which."""
    return {}


@pytest.fixture
async def shop(
    committed_engine: AsyncEngine, committed_market: Market, settings: Settings, changed_settings: dict[str, Any]
) -> AsyncIterator[Shop]:
    settings = settings.model_copy(update={"subscription_cost_limit": 5_000, **changed_settings})
    owner, customer = await committed_market.user(), await committed_market.user()
    store = await committed_market.store(owner)
    product = await committed_market.product(store, stock=100)
    services = create_services(settings, committing(committed_engine))
    live = services.subscriptions
    async with serving(application(services), **PROTOCOLS) as address:
        await live.events.heard()
        async with httpx2.AsyncClient(base_url=f"http://{address}") as client:
            api = Api(client, settings)
            yield Shop(address, api, committed_market, committed_engine, owner, customer, store, product, services)
