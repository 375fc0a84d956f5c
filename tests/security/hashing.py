"""Password hashing for tests: as cheap as argon2 lets it be, and on record."""

import threading
from typing import Literal, NamedTuple

import pytest
from argon2 import PasswordHasher

from app.security import passwords


class Call(NamedTuple):
    method: str
    password: str | bytes
    thread: str


class RecordingHasher(PasswordHasher):
    """Hashes with the parameters of `tests.market.PASSWORD_HASH`."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.calls: list[Call] = []
        self.verified: list[str | bytes] = []

    @property
    def methods(self) -> list[str]:
        return [call.method for call in self.calls]

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        self._record("hash", password)
        return super().hash(password, salt=salt)

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:
        self._record("verify", password)
        self.verified.append(hash)
        return super().verify(hash, password)

    def _record(self, method: str, password: str | bytes) -> None:
        self.calls.append(Call(method, password, threading.current_thread().name))


async def use_recording_hasher(monkeypatch: pytest.MonkeyPatch) -> RecordingHasher:
    """Put the application's hasher aside, and be as ready for logins as a server that has started."""
    hasher = RecordingHasher()
    monkeypatch.setattr(passwords, "_hasher", hasher)
    passwords._nobodys_hash.cache_clear()
    await passwords.prepare()
    hasher.calls.clear()
    return hasher
