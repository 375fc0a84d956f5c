from collections.abc import AsyncIterator

import pytest

from app.security import passwords
from tests.security.hashing import use_recording_hasher


@pytest.fixture(autouse=True)
async def cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Passwords are hashed as cheaply as can be."""
    await use_recording_hasher(monkeypatch)
    yield
    passwords._nobodys_hash.cache_clear()
