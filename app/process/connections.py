"""The open connections of a process: whose they are, how many there may be, and for how long it waits for them."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from ipaddress import ip_address, ip_network
from typing import Any, NamedTuple

from app.clients import Client
from app.errors import Overloaded, TooManyConnections

CONNECTIONS = "connections"
"""The key of the Connections in the state of a server."""
CONNECTION = "connection"
"""The key of its Connection in the state of a request."""
_CHUNK = 1024 * 1024


class Limits(NamedTuple):
    """How many connections there may be, and for how long each may keep the process waiting."""

    in_all: int
    per_client: int
    request_seconds: float
    """For a request to arrive, and to start after the client has connected."""
    response_seconds: float
    """For the client to read what was sent, or the next megabyte of it."""


class Connections:
    """The connections of this process. Each counts for a client: at first for its address, unless it is a proxy's, and
    for a user while the user holds it."""

    def __init__(self, limits: Limits, proxies: str = "") -> None:
        """Take the limits, and the proxies that name the clients they connect for, as in the settings."""
        self.limits = limits
        self.refused: Counter[str] = Counter()
        """How many were refused, by the limit."""
        self.timed_out: Counter[str] = Counter()
        """How many were closed because a request or a response took too long."""
        self._proxies = None if proxies == "*" else [ip_network(each.strip()) for each in proxies.split(",") if each]
        self._number = 0
        self._of_client: Counter[Client] = Counter()

    def __len__(self) -> int:
        return self._number

    def open(self, transport: asyncio.Transport, address: str) -> "Connection":
        """Count a connection from this address; Overloaded or TooManyConnections where that is one too many."""
        if self._number >= self.limits.in_all:
            self.refused["all"] += 1
            raise Overloaded
        client = None if self._is_proxy(address) else Client.of(None, address)
        self.count(client)
        self._number += 1
        return Connection(self, transport, client)

    def close(self, client: Client | None) -> None:
        """Count one connection less."""
        self._number -= 1
        self.discount(client)

    def count(self, client: Client | None) -> None:
        """Count a connection for this client; TooManyConnections if it has too many."""
        if client is not None and self._of_client[client] >= self.limits.per_client:
            self.refused["client"] += 1
            raise TooManyConnections(self.limits.per_client)
        self.recount(client)

    def recount(self, client: Client | None) -> None:
        """Count a connection for this client, however many it has."""
        if client is not None:
            self._of_client[client] += 1

    def discount(self, client: Client | None) -> None:
        """Count a connection for this client no more."""
        if client is not None:
            self._of_client[client] -= 1
            if not self._of_client[client]:
                del self._of_client[client]

    def _is_proxy(self, address: str) -> bool:
        if self._proxies is None:
            return True
        with suppress(ValueError):  # a Unix socket has none
            return any(ip_address(address) in proxy for proxy in self._proxies)
        return False


class Connection:
    """One connection, from when it is opened until it is lost."""

    def __init__(self, connections: Connections, transport: asyncio.Transport, client: Client | None) -> None:
        self._connections = connections
        self._transport = transport
        self._client = client
        self._is_open = True
        self._unread = 0
        self._deadline: asyncio.TimerHandle | None = None

    @contextmanager
    def held_by(self, client: Client) -> Iterator[None]:
        """Count the connection for this client while this lasts; TooManyConnections if it has too many."""
        former = self._client
        if former == client:
            yield
            return
        self._connections.count(client)
        self._connections.discount(former)
        self._client = client
        try:
            yield
        finally:
            if self._is_open:
                self._connections.recount(former)
                self._connections.discount(client)
                self._client = former

    def close(self) -> None:
        """Count the connection no more; it is lost."""
        if self._is_open:
            self._is_open = False
            self.resume()
            self._connections.close(self._client)

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


@contextmanager
def held_by(client: Client, scope: Mapping[str, Any]) -> Iterator[None]:
    """Count the connection of a request for the client while this lasts; TooManyConnections if it has too many. Servers
    other than ours count nothing."""
    connection: Connection | None = scope.get("state", {}).get(CONNECTION)
    with nullcontext() if connection is None else connection.held_by(client):
        yield
