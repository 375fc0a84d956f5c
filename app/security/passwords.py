"""Password hashing with argon2id, off the event loop."""

import asyncio
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.profiles import RFC_9106_LOW_MEMORY

from app.errors import Overloaded
from app.lengths import PASSWORD
from app.texts import LONGEST_FORM

T = TypeVar("T")

# The first parameters that OWASP recommends. More parallelism would only take cores from other requests. Of two cores,
# one hash takes, in one run:
#
#                                                         wall     CPU
#     64 MiB, 3 iterations, parallelism 4 (2.0.0)       147 ms  131 ms
#     64 MiB, 3 iterations, parallelism 1               140 ms  123 ms
#     46 MiB, 1 iteration, parallelism 1                 43 ms   39 ms
#     19 MiB, 2 iterations, parallelism 1 (OWASP, too)   16 ms   15 ms
PARAMETERS = replace(RFC_9106_LOW_MEMORY, memory_cost=47_104, time_cost=1, parallelism=1)

_hasher = PasswordHasher.from_parameters(PARAMETERS)
_MOST_WAITING = 100
"""Passwords that may be hashed or wait for that at once: the last one waits about four seconds."""


class _HashingThread:
    """Hashes one password at a time, which leaves the other cores to everything else. Nothing that holds a database
    connection may wait for it: otherwise, a flood of logins would occupy all of them and block every read."""

    def __init__(self) -> None:
        self.pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="argon2")
        self.waiting = 0

    async def run(self, work: Callable[..., T], *arguments: object) -> T:
        """Run a function on the thread; Overloaded if too many wait."""
        if self.waiting >= _MOST_WAITING:
            raise Overloaded
        self.waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self.pool, work, *arguments)
        finally:
            self.waiting -= 1


_thread = _HashingThread()


async def prepare() -> None:
    """Prepare the first check, so that it takes no longer than later ones."""
    await _thread.run(_nobodys_hash)


def waiting() -> int:
    """Return how many passwords are being hashed or wait for that."""
    return _thread.waiting


async def hash_password(password: str) -> str:
    """Return the argon2id hash of a password; Overloaded if too many wait for theirs."""
    return await _thread.run(_hash, password)


async def verify_password(password_hash: str | None, password: str) -> bool:
    """Return whether the password is correct; without a hash, return False after the same time. Overloaded if too many
    wait. One that is longer than any is wrong at once."""
    if len(password) > LONGEST_FORM * PASSWORD:
        return False
    return await _thread.run(_verify, password_hash, password)


def needs_rehash(password_hash: str) -> bool:
    """Return whether the hash has other parameters than new ones."""
    return _hasher.check_needs_rehash(password_hash)


def _hash(password: str) -> str:
    return _hasher.hash(_normalized(password))


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
