"""How much a user, or an address, may ask for within a time: points of cost, and attempts to log in or sign up."""

from collections import OrderedDict
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from time import monotonic, time
from typing import TYPE_CHECKING, Any, NamedTuple

import structlog
from limits import parse
from limits.aio.storage import RedisStorage, Storage
from limits.aio.strategies import FixedWindowRateLimiter
from limits.errors import StorageError

from app.errors import RateLimited
from app.security.viewer import Viewer
from app.settings import Settings

if TYPE_CHECKING:
    from redis.asyncio import ConnectionPool

_BITS_OF_A_CUSTOMER = 64  # of an IPv6 address: each has all addresses that begin with them
_COUNTS_KEPT = 100_000
# Whoever asks must not wait for what only counts.
_IMPATIENT: Any = {"socket_timeout": 0.5, "socket_connect_timeout": 0.5}
_RESPITE_SECONDS = 1.0  # in which one who did not answer is not asked again

log = structlog.get_logger(__name__)


class Quota(NamedTuple):
    """What is left of a limit: of `limit` in `window` seconds, `remaining` for the next `reset` seconds."""

    limit: int
    window: int
    remaining: int
    reset: int


class RateLimit:
    """One limit: so much for each who asks, within each window of time."""

    def __init__(self, what: str, limit: str, storage: str) -> None:
        """Take a limit such as `100/minute`, and the URL of Redis, empty for the memory of this process."""
        self._what = what
        self._item = parse(limit)
        self._redis = _connections(storage) if storage else None
        self._limiter = FixedWindowRateLimiter(Memory() if self._redis is None else _shared(storage, self._redis))
        self._asked_from = 0.0
        """When the storage is asked again."""

    async def take(self, who: str, amount: int) -> Quota | None:
        """Take so much, and return what is left, None where nobody can tell. RateLimited where there was not enough."""
        if self._asked_from > monotonic():
            return None
        try:
            is_within = await self._limiter.hit(self._item, self._what, who, cost=max(1, amount))
            reset_at, remaining = await self._limiter.get_window_stats(self._item, self._what, who)
        except StorageError as failure:
            # A shop that does not count is better than one that is closed.
            log.warning("rate limits cannot be kept", reason=str(failure))
            self._asked_from = monotonic() + _RESPITE_SECONDS
            return None
        quota = Quota(self._item.amount, self._item.get_expiry(), remaining, max(1, round(reset_at - time())))
        if not is_within:
            raise RateLimited(self._what, *quota)
        return quota

    async def close(self) -> None:
        """Give up the connections."""
        if self._redis is not None:
            await self._redis.disconnect()


class RateLimits:
    """The limits that are set."""

    def __init__(self, settings: Settings) -> None:
        storage = settings.rate_limit_storage
        self.has_points = bool(settings.rate_limit)
        """Whether points are limited at all."""
        self._points = RateLimit("points", settings.rate_limit, storage) if settings.rate_limit else None
        self._attempts = RateLimit("attempts", settings.attempt_limit, storage) if settings.attempt_limit else None

    async def take(self, points: int, viewer: Viewer | None, address: str) -> Quota | None:
        """Take the cost of an operation from the user, without one from the address; None where nothing limits it."""
        if self._points is None:
            return None
        who = f"address {network(address)}" if viewer is None else f"user {viewer.id}"
        return await self._points.take(who, points)

    async def attempt(self, address: str) -> None:
        """Count an attempt to log in, or to sign up, from an address."""
        if self._attempts is not None:
            await self._attempts.take(f"address {network(address)}", 1)

    async def close(self) -> None:
        """Give up the connections."""
        for limit in (self._points, self._attempts):
            if limit is not None:
                await limit.close()


class Memory(Storage):
    """Counts in this process. The library's own looks through all of them at each request; these are dropped in the
    order in which they were begun, which is that in which they expire."""

    STORAGE_SCHEME = None
    base_exceptions = ()

    def __init__(self) -> None:
        super().__init__(wrap_exceptions=True)
        self._counts: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._counts)

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Add to a count, which begins now if there is none."""
        self._forget_expired()
        count, expires_at = self._counts.get(key, (0, time() + expiry))
        self._counts[key] = (count + amount, expires_at)
        return count + amount

    async def get(self, key: str) -> int:
        """Return a count."""
        self._forget_expired()
        return self._counts.get(key, (0, 0.0))[0]

    async def get_expiry(self, key: str) -> float:
        """Return when a count begins anew, in seconds since 1970."""
        return self._counts.get(key, (0, time()))[1]

    async def check(self) -> bool:
        """Tell that it is there."""
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


def _connections(url: str) -> "ConnectionPool":
    from redis.asyncio import ConnectionPool  # takes 0.07 s, which only those pay who count in Redis

    return ConnectionPool.from_url(url.replace("redis+unix", "unix"), **_IMPATIENT)


def _shared(url: str, connections: "ConnectionPool") -> Storage:
    """Return what counts in Redis."""
    options: Any = {"connection_pool": connections, "implementation": "redispy", "key_prefix": "orders-api"}
    return RedisStorage(f"async+{url}", wrap_exceptions=True, **options)


@lru_cache(10_000)
def network(address: str) -> str:
    """Return the network of one customer that an address is of: they choose among 2⁶⁴ addresses of IPv6."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return address
    others = 128 - _BITS_OF_A_CUSTOMER
    return str(parsed.ipv4_mapped or IPv6Address(int(parsed) >> others << others))
