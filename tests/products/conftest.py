"""A store and the user it belongs to."""

import pytest

from app.db.models import Store, User
from tests.market import Market


@pytest.fixture
async def owner(market: Market) -> User:
    return await market.user()


@pytest.fixture
async def store(market: Market, owner: User) -> Store:
    return await market.store(owner, currency="SEK")
