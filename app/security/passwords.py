"""Password hashes: argon2id, off the event loop."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from app.errors import Overloaded

_hasher = PasswordHasher()
# A hash takes some 50 ms of a core and 64 MiB: two at a time leave the event loop its core, and bound the memory.
_threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="argon2")
# Those two, and others who are before or after it; with 100 waiting the last one waits for some three seconds.
_AT_ONCE = 4
_MOST_WAITING = 100


class Turns:
    """Who may work with a password: a few at a time. The others wait before they take a connection, or a flood of
    log-ins would hold them all, and nobody could even read."""

    def __init__(self, connections: int) -> None:
        self._free = asyncio.Semaphore(max(1, min(_AT_ONCE, connections // 2)))
        self._waiting = 0

    @asynccontextmanager
    async def taken(self, *, may_wait: bool) -> AsyncIterator[None]:
        """Take a turn; Overloaded where too many wait for one, or this one has something that others wait for."""
        if self._free.locked() and (not may_wait or self._waiting >= _MOST_WAITING):
            raise Overloaded
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._free.release()


async def prepare() -> None:
    """Make what the first check needs, so that it takes no longer than the next."""
    await asyncio.get_running_loop().run_in_executor(_threads, _nobodys_hash)


async def hash_password(password: str) -> str:
    """Return the argon2id hash of a password."""
    return await asyncio.get_running_loop().run_in_executor(_threads, _hasher.hash, password)


async def verify_password(password_hash: str | None, password: str) -> bool:
    """Tell whether the password is right; without a hash the answer is no, after the same time."""
    return await asyncio.get_running_loop().run_in_executor(_threads, _verify, password_hash, password)


def needs_rehash(password_hash: str) -> bool:
    """Tell whether the hash was made with weaker parameters than today's."""
    return _hasher.check_needs_rehash(password_hash)


def _verify(password_hash: str | None, password: str) -> bool:
    try:
        _hasher.verify(password_hash or _nobodys_hash(), password)
    except (VerificationError, InvalidHashError):
        return False
    return password_hash is not None


@cache
def _nobodys_hash() -> str:
    """A hash to verify against where there is no account, so that time tells nothing."""
    return _hasher.hash("nobody's password")
