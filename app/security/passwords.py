"""Password hashing with argon2id, off the event loop."""

import asyncio
import unicodedata
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from app.errors import Overloaded

_hasher = PasswordHasher()
# A hash takes about 50 ms of a core and 64 MiB. Two at a time bound the memory and leave the event loop a core.
_threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="argon2")
# Those two, and others just before or after hashing. With 100 waiting, the last one waits about three seconds.
_AT_ONCE = 4
_MOST_WAITING = 100


class Turns:
    """Limits how many operations handle passwords at once. The others wait before they acquire a database connection;
    otherwise, a flood of logins would occupy all of them and block every read."""

    def __init__(self, connections: int) -> None:
        self._free = asyncio.Semaphore(max(1, min(_AT_ONCE, connections // 2)))
        self._waiting = 0

    @asynccontextmanager
    async def taken(self, *, may_wait: bool) -> AsyncIterator[None]:
        """Wait for a turn; Overloaded if too many wait or this one may not wait because it holds a connection."""
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
    """Prepare the first check, so that it takes no longer than later ones."""
    await asyncio.get_running_loop().run_in_executor(_threads, _nobodys_hash)


async def hash_password(password: str) -> str:
    """Return the argon2id hash of a password."""
    return await asyncio.get_running_loop().run_in_executor(_threads, _hasher.hash, _normalized(password))


async def verify_password(password_hash: str | None, password: str) -> bool:
    """Return whether the password is correct; without a hash, return False after the same time."""
    return await asyncio.get_running_loop().run_in_executor(_threads, _verify, password_hash, password)


def needs_rehash(password_hash: str) -> bool:
    """Return whether the hash has weaker parameters than new ones."""
    return _hasher.check_needs_rehash(password_hash)


def _verify(password_hash: str | None, password: str) -> bool:
    # Before 2.1.0, passwords were hashed as they were typed.
    as_hashed = dict.fromkeys((_normalized(password), password))
    return any(_is_hash_of(password_hash or _nobodys_hash(), each) for each in as_hashed) and password_hash is not None


def _is_hash_of(password_hash: str, password: str) -> bool:
    try:
        return _hasher.verify(password_hash, password)
    except (VerificationError, InvalidHashError):
        return False


def _normalized(password: str) -> str:
    """Return a password in Unicode's form NFKC (RFC 8265): keyboards differ in how they write the same characters."""
    return unicodedata.normalize("NFKC", password)


@cache
def _nobodys_hash() -> str:
    """Return a hash to verify against without an account, so that timing reveals nothing."""
    return _hasher.hash("nobody's password")
