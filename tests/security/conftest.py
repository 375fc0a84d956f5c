from collections.abc import AsyncIterator

import pytest

from app.security import passwords
from tests.security.hashing import RecordingHasher, use_recording_hasher


@pytest.fixture
async def hasher(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RecordingHasher]:
    """The hasher of the application, as cheap as can be and on record."""
    yield await use_recording_hasher(monkeypatch)
    passwords._nobodys_hash.cache_clear()
