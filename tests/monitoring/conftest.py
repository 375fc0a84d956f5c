"""The application with other settings than the other tests', each operation on a connection of its own."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx2
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from app.main import create_app
from app.settings import Settings
from tests.api import Api
from tests.databases import committing

Serve = Callable[..., AbstractAsyncContextManager[Api]]


@pytest.fixture
def serve(committed_engine: AsyncEngine, settings: Settings) -> Serve:
    """Return what yields the application with these settings changed."""

    @asynccontextmanager
    async def serve(**changes: Any) -> AsyncIterator[Api]:
        changed = settings.model_copy(update={"compiled_path": True, **changes})
        transport = httpx2.ASGITransport(app=create_app(changed, committing(committed_engine)))
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
            yield Api(client, changed)

    return serve
