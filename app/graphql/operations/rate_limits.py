"""Rate limits: points of each client, and attempts from each address and on each account."""

import hashlib
from collections import OrderedDict
from time import monotonic, time
from typing import TYPE_CHECKING, Any, NamedTuple

import structlog
from limits import parse
from limits.aio.storage import RedisStorage, Storage
from limits.aio.strategies import FixedWindowRateLimiter
from limits.errors import StorageError

from app.clients import Client
from app.errors import RateLimited
from app.security.viewer import Viewer
from app.settings import Settings

if TYPE_CHECKING:
    from redis.asyncio import ConnectionPool

_COUNTS_KEPT = 100_000
# Requests must not wait for a store that only counts.
_IMPATIENT: Any = {"socket_timeout": 0.5, "socket_connect_timeout": 0.5}
_RESPITE_SECONDS = 1.0  # for which a store that failed is not asked again

log = structlog.get_logger(__name__)


class Quota(NamedTuple):
    """What is left of a limit: of `limit` in `window` seconds, `remaining` for the next `reset` seconds."""

    limit: int
    window: int
    remaining: int
    reset: int


class RateLimit:
    """One limit: an amount for each caller within each window of time."""

    def __init__(self, what: str, limit: str, storage: str) -> None:
        """Take a limit such as `100/minute`, empty for none, and the URL of Redis, empty for this process's memory."""
        self._what = what
        self._item = parse(limit) if limit else None
        self._redis: ConnectionPool | None = None
        store: Storage = Memory()
        if storage:
            from redis import asyncio as redis  # takes 0.07 s, and is needed for Redis only

            self._redis = redis.ConnectionPool.from_url(storage.replace("redis+unix", "unix"), **_IMPATIENT)
            options: Any = {"connection_pool": self._redis, "implementation": "redispy", "key_prefix": "orders-api"}
            store = RedisStorage(f"async+{storage}", wrap_exceptions=True, **options)
        self._limiter = FixedWindowRateLimiter(store)
        self._asked_from = 0.0
        """When the storage is asked again."""

    async def take(self, who: str, amount: int) -> Quota | None:
        """Take an amount and return what is left, None if that is unknown; RateLimited if too little was."""
        if self._item is None or self._asked_from > monotonic():
            return None
        try:
            is_within = await self._limiter.hit(self._item, self._what, who, cost=max(1, amount))
            if not is_within:  # what is refused leaves the rest to others that take less
                key, seconds = self._item.key_for(self._what, who), self._item.get_expiry()
                await self._limiter.storage.incr(key, seconds, -max(1, amount))
            reset_at, remaining = await self._limiter.get_window_stats(self._item, self._what, who)
        except StorageError as failure:
            # It is better to serve without limits than not at all.
            log.warning("rate limits cannot be kept", reason=str(failure))
            self._asked_from = monotonic() + _RESPITE_SECONDS
            return None
        quota = Quota(self._item.amount, self._item.get_expiry(), remaining, max(1, round(reset_at - time())))
        if not is_within:
            raise RateLimited(self._what, *quota, too_much=amount if amount > quota.limit else None)
        return quota

    async def close(self) -> None:
        """Close the connections."""
        if self._redis is not None:
            await self._redis.disconnect()


class RateLimits:
    """The limits of the settings."""

    def __init__(self, settings: Settings) -> None:
        storage = settings.rate_limit_storage
        self._points = RateLimit("points", settings.rate_limit, storage)
        self._attempts = RateLimit("attempts", settings.attempt_limit, storage)
        self._attempts_on_account = RateLimit("attempts on one account", settings.account_attempt_limit, storage)

    async def take(self, points: int, viewer: Viewer | None, address: str) -> Quota | None:
        """Take the cost of an operation from the user, or from the address without a login; None without a limit."""
        return await self._points.take(Client.of(viewer, address).name, points)

    async def attempt(self, address: str) -> None:
        """Count an attempt to log in, or the like, from an address."""
        await self._attempts.take(Client.of(None, address).name, 1)

    async def attempt_on(self, account: str) -> None:
        """Count an attempt to log in to an account, whose email address stays out of the store that counts."""
        await self._attempts_on_account.take(hashlib.sha256(account.encode()).hexdigest(), 1)

    async def close(self) -> None:
        """Close the connections."""
        await self._points.close()
        await self._attempts.close()
        await self._attempts_on_account.close()


class Memory(Storage):
    """Counts in this process. The library's own memory scans all counts at each request; this one drops them in the
    order in which they began, which is the order in which they expire."""

    STORAGE_SCHEME = None
    base_exceptions = ()

    def __init__(self) -> None:
        super().__init__(wrap_exceptions=True)
        self._counts: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._counts)

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Add to a count, and begin it if there is none."""
        self._forget_expired()
        count, expires_at = self._counts.get(key, (0, time() + expiry))
        self._counts[key] = (count + amount, expires_at)
        return count + amount

    async def get(self, key: str) -> int:
        """Return a count."""
        self._forget_expired()
        return self._counts.get(key, (0, 0.0))[0]

    async def get_expiry(self, key: str) -> float:
        """Return when a count expires, in seconds since 1970."""
        return self._counts.get(key, (0, time()))[1]

    async def check(self) -> bool:
        """Return that the store is available."""
        return True

    async def reset(self) -> int:
        """Forget all counts, and return how many there were."""
        number = len(self._counts)
        self._counts.clear()
        return number

    async def clear(self, key: str) -> None:
        """Forget a count."""
        self._counts.pop(key, None)

    def _forget_expired(self) -> None:
        now = time()
        while self._counts:
            expires_at = next(iter(self._counts.values()))[1]
            if expires_at > now and len(self._counts) <= _COUNTS_KEPT:
                return
            self._counts.popitem(last=False)
