"""The open connections of a process: whose they are, how many there may be, and for how long it waits for them."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from ipaddress import ip_address, ip_network
from typing import Any, NamedTuple

from app.clients import Client, Holder
from app.errors import Overloaded, TooManyConnections

CONNECTIONS = "connections"
"""The key of the Connections in the state of a server."""
CONNECTION = "connection"
"""The key of its Connection in the state of a request."""
_CHUNK = 1024 * 1024
_MOST_FRAMES = 2_000  # of a client's WebSockets together, in a second; a message takes 20 µs


class Limits(NamedTuple):
    """How many connections there may be, and for how long each may keep the process waiting."""

    in_all: int
    per_user: int
    per_address: int
    """Those that no user holds."""
    request_seconds: float
    """For a request to arrive, and to start after the client has connected."""
    response_seconds: float
    """For the client to read what was sent, or the next megabyte of it."""

    @property
    def per_site(self) -> int:
        """Those of an address, with and without a login: with several accounts, one customer could take all."""
        return self.in_all // 2


class Connections:
    """The connections of this process. Each counts for its site, and for a client: the address, or a user while the
    user holds it. A proxy's counts for nobody until somebody holds it."""

    def __init__(self, limits: Limits, proxies: str = "") -> None:
        """Take the limits, and the proxies that name the clients they connect for, as in the settings."""
        self.limits = limits
        self.refused: Counter[str] = Counter()
        """How many were refused, by the limit."""
        self.timed_out: Counter[str] = Counter()
        """How many were closed because a request or a response took too long."""
        self.lingering: set[object] = set()
        """Those that were refused, and wait for their clients to read that."""
        self._proxies = None if proxies == "*" else [ip_network(each.strip()) for each in proxies.split(",") if each]
        self._number = 0
        self._of_client: Counter[Client] = Counter()
        self._of_site: Counter[str] = Counter()
        self._frames: Counter[object] = Counter()
        """What each client has sent since `_counted_from`."""
        self._counted_from = 0.0

    def __len__(self) -> int:
        return self._number

    def open(self, transport: asyncio.Transport, address: str) -> "Connection":
        """Count a connection from this address; Overloaded or TooManyConnections where that is one too many."""
        if self._number >= self.limits.in_all:
            self.refused["all"] += 1
            raise Overloaded
        holder = None if self._is_proxy(address) else Holder.of(None, address)
        self.require_few(None, holder)
        self._number += 1
        self.count(holder, 1)
        return Connection(self, transport, holder)

    def close(self, holder: Holder | None) -> None:
        """Count one connection less."""
        self._number -= 1
        self.count(holder, -1)

    def require_few(self, former: Holder | None, holder: Holder | None) -> None:
        """Raise TooManyConnections if this holder has too many to take over a connection of the former."""
        if holder is None:
            return
        client, site = holder
        most = self.limits.per_address if client.is_anonymous else self.limits.per_user
        if (former is None or client != former.client) and self._of_client[client] >= most:
            self.refused["client"] += 1
            raise TooManyConnections(most)
        if (former is None or site != former.site) and self._of_site[site] >= self.limits.per_site:
            self.refused["site"] += 1
            raise TooManyConnections(self.limits.per_site)

    def count(self, holder: Holder | None, number: int) -> None:
        """Count so many connections more for this holder."""
        if holder is not None:
            _add(self._of_client, holder.client, number)
            _add(self._of_site, holder.site, number)

    def has_few_frames(self, holder: object) -> bool:
        """Count a frame of a WebSocket; return whether its holder has sent no more than one may in a second."""
        now = time.monotonic()
        if now >= self._counted_from + 1:
            self._frames.clear()
            self._counted_from = now
        self._frames[holder] += 1
        return self._frames[holder] <= _MOST_FRAMES

    def _is_proxy(self, address: str) -> bool:
        if self._proxies is None:
            return True
        with suppress(ValueError):  # a Unix socket has none
            return any(ip_address(address) in proxy for proxy in self._proxies)
        return False


def _add(counter: Counter[Any], key: object, number: int) -> None:
    counter[key] += number
    if not counter[key]:
        del counter[key]


class Connection:
    """One connection, from when it is opened until it is lost."""

    def __init__(self, connections: Connections, transport: asyncio.Transport, holder: Holder | None) -> None:
        self._connections = connections
        self._transport = transport
        self._holder = holder
        self._is_open = True
        self._unread = 0
        self._deadline: asyncio.TimerHandle | None = None

    @contextmanager
    def held_by(self, holder: Holder) -> Iterator[None]:
        """Count the connection for this holder while this lasts; TooManyConnections if they have too many."""
        former = self._holder
        self.take(holder)
        try:
            yield
        finally:
            if self._is_open:
                self._pass_to(former)

    def take(self, holder: Holder) -> None:
        """Count the connection for this holder from now on; TooManyConnections if they have too many."""
        self._connections.require_few(self._holder, holder)
        self._pass_to(holder)

    def has_few_frames(self) -> bool:
        """Count a frame for the holder of the connection; return whether these are few."""
        return self._connections.has_few_frames(self if self._holder is None else self._holder.client)

    def _pass_to(self, holder: Holder | None) -> None:
        self._connections.count(self._holder, -1)
        self._connections.count(holder, 1)
        self._holder = holder

    def close(self) -> None:
        """Count the connection no more; it is lost."""
        if self._is_open:
            self._is_open = False
            self.resume()
            self._connections.close(self._holder)

    def pause(self) -> None:
        """Give the client some time to read what was sent: more than the system buffers is waiting for it."""
        self._unread = self._transport.get_write_buffer_size()
        seconds = self._connections.limits.response_seconds
        self._deadline = asyncio.get_running_loop().call_later(seconds, self._check)

    def resume(self) -> None:
        """Stop waiting for the client: it has read enough, or is gone."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _check(self) -> None:
        """Cut the client off if it has hardly read anything."""
        if self._transport.get_write_buffer_size() <= self._unread - _CHUNK:
            self.pause()
        else:
            self._connections.timed_out["response"] += 1
            self._transport.abort()


def connection_of(scope: Mapping[str, Any]) -> Connection | None:
    """Return the connection of a request; servers other than ours count none."""
    connection: Connection | None = scope.get("state", {}).get(CONNECTION)
    return connection


@contextmanager
def held_by(holder: Holder, scope: Mapping[str, Any]) -> Iterator[None]:
    """Count the connection of a request for the holder while this lasts; TooManyConnections if they have too many."""
    connection = connection_of(scope)
    with nullcontext() if connection is None else connection.held_by(holder):
        yield


def take(holder: Holder, scope: Mapping[str, Any]) -> None:
    """Count the connection of a WebSocket for the holder, until it is closed; TooManyConnections if they have too
    many."""
    connection = connection_of(scope)
    if connection is not None:
        connection.take(holder)
