"""The servers of a database: which of them takes the writes, and what happens when that changes."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeAlias, cast
from urllib.parse import urlencode
from weakref import WeakSet

import asyncpg
import structlog
from sqlalchemy import URL

from app.db.asyncpg_internals import cut_off

if TYPE_CHECKING:
    Driver: TypeAlias = asyncpg.Connection[Any]
else:
    Driver = asyncpg.Connection  # which takes no parameters when it runs
_TLS_FILES = ("sslrootcert", "sslcert", "sslkey")
"""Parameters that the driver takes in a DSN only."""
_CONNECT_SECONDS = 10.0
_WATCH_SECONDS = 1.0
_PATIENCE_SECONDS = 1.5  # for a server to answer, and then once more on a new connection
_PAUSE_SECONDS = 0.2  # before all of them are asked again
_UNREACHABLE = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
# The timeline that is written now: that of the last checkpoint is the old one for a while after a promotion.
_STATE = """
SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean AS is_read_only,
    CASE WHEN NOT pg_is_in_recovery() THEN left(pg_walfile_name(pg_current_wal_lsn()), 8) END AS timeline
"""

log = structlog.get_logger(__name__)


class NoPrimary(ConnectionError):
    """None of the servers takes writes; the message says why."""


class Server(NamedTuple):
    """Where a server listens: a host or a directory of sockets, None for the driver's default."""

    host: str | None
    port: int | None

    def __str__(self) -> str:
        return f"{self.host or 'localhost'}:{self.port or 5432}"


class State(NamedTuple):
    """What a server has answered."""

    server: Server
    connection: Driver | None = None
    timeline: int = 0
    """Rises with each promotion of a standby; 0 where no writes are taken."""
    reason: str = ""
    """Why no writes are taken."""
    is_full: bool = False
    """Whether it has no connections left, so that it can't be asked."""


def arguments_of(url: URL) -> dict[str, Any]:
    """Return the driver's arguments for a URL; SQLAlchemy has some of its own there."""
    _, arguments = url.get_dialect()().create_connect_args(url)
    return {name: value for name, value in arguments.items() if not name.startswith("prepared_statement_")}


class Servers:
    """Opens connections to the server that takes writes: the only one, or of several the one with the highest timeline.
    A former primary that was cut off goes on taking writes, on a lower one."""

    def __init__(self, servers: Sequence[Server]) -> None:
        self.names = servers
        self._primary = servers[0] if len(servers) == 1 else None
        self._timeline = 0
        """The highest that was ever seen: no lower one is used."""
        self._open: dict[Server, WeakSet[Driver]] = defaultdict(WeakSet)
        self._turn = asyncio.Lock()
        self._found_at = 0.0
        self._again_at = 0.0
        self._reason = ""

    @classmethod
    def of(cls, url: URL) -> Self:
        """Return the servers that a URL names."""
        arguments = arguments_of(url)
        hosts, ports = (_listed(arguments.get(name)) for name in ("host", "port"))
        ports = ports * len(hosts) if len(ports) == 1 else ports
        return cls([Server(host, port) for host, port in zip(hosts, ports, strict=True)])

    async def connect(self, **arguments: Any) -> Driver:
        """Return a connection to the primary, for the driver's arguments. Each server has its share of the `timeout`.
        NoPrimary if none takes writes; with a single server, whatever the driver raises."""
        seconds = arguments.get("timeout", _CONNECT_SECONDS)
        if len(self.names) == 1:
            return await self._opened(self.names[0], seconds, arguments)
        share = seconds / (len(self.names) + 1)
        return await self._known_primary(share, arguments) or await self._found_primary(share, arguments)

    async def _opened(self, server: Server, seconds: float, arguments: dict[str, Any]) -> Driver:
        place = {"host": server.host, "port": server.port, "timeout": seconds}
        connection = cast(Driver, await asyncpg.connect(**{**_with_dsn(arguments), **place}))
        self._open[server].add(connection)
        return connection

    async def _known_primary(self, share: float, arguments: dict[str, Any]) -> Driver | None:
        """Return a connection to the last primary, if it still is the one. It may only be slow to accept connections,
        so those that are open are left alone."""
        if self._primary is None:
            return None
        state = await self.state_of(self._primary, share, arguments)
        if state.timeline and state.timeline >= self._timeline:
            return state.connection
        _close(state)
        return None

    async def _found_primary(self, share: float, arguments: dict[str, Any]) -> Driver:
        """Ask all servers, once however many wait, and return a connection to the primary."""
        clock = asyncio.get_running_loop().time
        asked_at = clock()
        async with self._turn:
            if clock() < self._again_at:
                raise NoPrimary(self._reason)
            if self._found_at > asked_at and (connection := await self._known_primary(share, arguments)):
                return connection
            async with self._asked(share, arguments) as states:
                best = max(states, key=lambda state: state.timeline)
                if best.timeline and best.timeline >= self._timeline:
                    states.remove(best)
                    self._follow(best)
                    self._found_at = clock()
                    return cast(Driver, best.connection)
                if any(state.is_full for state in states):  # the primary may be among them
                    raise asyncpg.TooManyConnectionsError("a server has no connections left")
            reasons = [f"{state.server} {state.reason or 'is on an old timeline'}" for state in states]
            self._reason = f"no server takes writes: {', '.join(reasons)}"
            self._again_at = clock() + _PAUSE_SECONDS
            raise NoPrimary(self._reason)

    @asynccontextmanager
    async def _asked(self, share: float, arguments: dict[str, Any]) -> AsyncIterator[list[State]]:
        """Yield the state of each server, and close the connections to those that are still in the list."""
        states: list[State] = []

        async def ask(server: Server) -> None:
            try:
                states.append(await self.state_of(server, share, arguments))
            except asyncpg.TooManyConnectionsError as failure:
                states.append(State(server, reason=str(failure), is_full=True))

        try:
            await asyncio.gather(*map(ask, self.names))
            yield states
        finally:
            for state in states:
                _close(state)

    async def state_of(self, server: Server, seconds: float, arguments: dict[str, Any]) -> State:
        """Open a connection to a server, and ask for its state. TooManyConnectionsError if it has none left, which says
        nothing about it."""
        try:
            connection = await self._opened(server, seconds, arguments)
        except asyncpg.TooManyConnectionsError:
            raise
        except _UNREACHABLE as failure:
            return State(server, reason=str(failure) or "doesn't answer")
        return await _state_over(connection, server, seconds)

    def _follow(self, state: State) -> None:
        if self._primary is not None and self._primary != state.server:
            self._lose(self._primary, f"{state.server} has been promoted")
        if state.timeline > self._timeline > 0:
            log.warning("following a new primary", server=str(state.server), timeline=state.timeline)
        self._primary, self._timeline = state.server, state.timeline

    def _lose(self, server: Server, reason: str) -> None:
        """Stop using a server, and end what waits for it."""
        if self._primary == server:
            log.warning("lost the primary", server=str(server), reason=reason)
            self._primary = None
        self._close_all(server)

    def leave(self) -> None:
        """Close all connections, as the server that they lead to takes no writes any more."""
        for server in list(self._open):
            self._close_all(server)

    def _close_all(self, server: Server) -> None:
        for connection in list(self._open.pop(server, ())):
            cut_off(connection)

    @asynccontextmanager
    async def watched(self, url: URL) -> AsyncIterator[None]:
        """While this lasts, notice that the primary hangs, or that another server has been promoted: a machine that is
        frozen accepts connections, and never answers."""
        if len(self.names) == 1:
            yield
            return
        watching = asyncio.create_task(self._watch(arguments_of(url)), name="watch the servers")
        try:
            yield
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching

    async def _watch(self, arguments: dict[str, Any]) -> None:
        monitors = [Monitor(self, server, arguments) for server in self.names]
        try:
            while True:
                await asyncio.sleep(_WATCH_SECONDS)
                if self._primary is not None:
                    await self._look(monitors)
        finally:
            for monitor in monitors:
                monitor.close()

    async def _look(self, monitors: Sequence["Monitor"]) -> None:
        """Ask all servers, and act on it. Whatever fails, the next look comes."""
        try:
            self._judge(await asyncio.gather(*(monitor.state() for monitor in monitors)))
        except Exception:
            log.exception("cannot watch the servers")

    def _judge(self, states: Sequence[State]) -> None:
        """Follow the highest timeline, and leave a primary that doesn't take writes."""
        best = max(states, key=lambda state: state.timeline)
        current = next((state for state in states if state.server == self._primary), None)
        if best.timeline > self._timeline:
            self._follow(best)
        elif current is not None and not current.timeline:
            self._lose(current.server, current.reason)


class Monitor:
    """Asks one server for its state again and again, on a connection of its own."""

    def __init__(self, servers: Servers, server: Server, arguments: dict[str, Any]) -> None:
        self._servers = servers
        self._arguments = arguments
        self._last = State(server)

    async def state(self) -> State:
        """Return the state. Where the connection is broken or there is no answer, ask again on another one: the server
        may only be slow."""
        connection = self._last.connection
        if connection is not None and not connection.is_closed():
            state = await _state_over(connection, self._last.server, _PATIENCE_SECONDS)
            if state.connection is not None:
                return state
        with suppress(asyncpg.TooManyConnectionsError):  # it answers
            self._last = await self._servers.state_of(self._last.server, _PATIENCE_SECONDS, self._arguments)
        return self._last

    def close(self) -> None:
        """Close the connection."""
        _close(self._last)


async def _state_over(connection: Driver, server: Server, seconds: float) -> State:
    """Ask for the state of a server on this connection, and close it if there is no answer."""
    try:
        async with asyncio.timeout(seconds):
            ((is_read_only, timeline),) = await connection.fetch(_STATE)
    except _UNREACHABLE as failure:
        connection.terminate()
        return State(server, reason=str(failure) or "doesn't answer")
    if is_read_only:
        return State(server, connection, reason="takes no writes")
    return State(server, connection, int(timeline, 16))


def _with_dsn(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments as the driver takes them."""
    own = {name: value for name, value in arguments.items() if name != "target_session_attrs"}  # the state says more
    files = {name: own.pop(name) for name in _TLS_FILES if name in own}
    if not files:
        return own
    for file in files.values():  # the driver doesn't say which one it cannot read
        Path(file).open().close()
    return {**own, "dsn": f"postgresql://?{urlencode(files)}"}


def _close(state: State) -> None:
    if state.connection is not None:
        state.connection.terminate()


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]
