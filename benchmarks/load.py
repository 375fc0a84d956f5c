"""The load generator: keep-alive connections over HTTP/1.1, each of which sends a request as soon as it has received
the previous response. It runs in a process of its own and does as little as possible per response."""

import asyncio
import gc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from time import perf_counter, process_time
from typing import cast

import uvloop

from benchmarks.figures import Measurement, percentile
from benchmarks.processes import cpu_seconds

_END_OF_HEAD = b"\r\n\r\n"
_LENGTH = b"content-length:"
_PATIENCE_SECONDS = 30  # for the last answers


class BadAnswer(Exception):
    """A server answered with an error, or not at all; the message shows the beginning of what it said."""


@dataclass(frozen=True)
class Plan:
    """What to send, where, how many at once and for how long."""

    port: int
    requests: Sequence[bytes]
    connections: int
    warm_up_seconds: float
    seconds: float
    server: int | None = None
    postgres: int | None = None
    """The processes whose CPU is measured, with their descendants."""


class Connection(asyncio.Protocol):
    """One connection. After `send`, `then` is called with the whole answer, head and body."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._answer = bytearray()
        self._length = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name

    def send(self, request: bytes, then: Callable[[bytes], None]) -> None:
        """Send a request; the one before must have been answered."""
        self._then = then
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Take a part of the answer."""
        self._answer += data
        if not self._length:
            head = self._answer.find(_END_OF_HEAD)
            if head < 0:
                return
            self._length = head + len(_END_OF_HEAD) + _content_length(bytes(self._answer[:head]))
        if len(self._answer) >= self._length:
            answer = bytes(self._answer)
            self._answer.clear()
            self._length = 0
            self._then(answer)

    def connection_lost(self, error: Exception | None) -> None:
        """Fail the pending request."""
        if not self.failed.done():
            self.failed.set_exception(BadAnswer(f"the server closed the connection ({error})"))

    def close(self) -> None:
        """Close the connection and stop waiting."""
        self.failed.cancel()
        self.transport.close()


def _content_length(head: bytes) -> int:
    _, found, rest = head.lower().partition(_LENGTH)
    if not found:
        raise BadAnswer(f"no content-length: {head.decode(errors='replace')}")
    return int(rest.split(b"\r\n", 1)[0])


def body_of(answer: bytes) -> bytes:
    """Return the body of a good answer; BadAnswer for any other."""
    if not answer.startswith(b"HTTP/1.1 200 ") or b'"errors":' in answer:
        raise BadAnswer(answer[:1_000].decode(errors="replace"))
    return answer.partition(_END_OF_HEAD)[2]


class _Client:
    """Sends requests one after the other, and notes how long each answer took."""

    def __init__(self, connection: Connection, requests: Iterator[bytes]) -> None:
        self._connection = connection
        self._requests = requests
        self.latencies: list[float] = []

    async def run(self, deadline: float) -> None:
        """Send requests until the deadline, and wait for the last answer."""
        self.latencies = []
        self._deadline = deadline
        self._done = asyncio.get_running_loop().create_future()
        self._ask()
        await asyncio.wait((self._done, self._connection.failed), return_when=asyncio.FIRST_COMPLETED)
        await (self._done if self._done.done() else self._connection.failed)

    def _ask(self) -> None:
        self._asked = perf_counter()
        self._connection.send(next(self._requests), self._answered)

    def _answered(self, answer: bytes) -> None:
        now = perf_counter()
        self.latencies.append(now - self._asked)
        try:
            body_of(answer)
        except BadAnswer as error:
            self._done.set_exception(error)
        else:
            if now < self._deadline:
                self._ask()
            else:
                self._done.set_result(None)


async def connect(port: int) -> Connection:
    """Open a connection to the server that listens on this port."""
    return (await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port))[1]


async def ask(connection: Connection, request: bytes) -> bytes:
    """Return the body of the answer to one request; BadAnswer where it is not a good one."""
    answered: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    connection.send(request, answered.set_result)
    await asyncio.wait((answered, connection.failed), return_when=asyncio.FIRST_COMPLETED)
    if not answered.done():
        await connection.failed
    return body_of(await answered)


def run(plan: Plan) -> Measurement:
    """Do what the plan says, in this process, and return what was measured after the warm-up."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_run(plan))


async def _run(plan: Plan) -> Measurement:
    connections = [await connect(plan.port) for _ in range(plan.connections)]
    step = len(plan.requests) // plan.connections  # so that no two send the same one at the same time
    starts = [islice(cycle(plan.requests), number * step, None) for number in range(plan.connections)]
    clients = [_Client(connection, start) for connection, start in zip(connections, starts, strict=True)]
    try:
        warm_up = await _phase(clients, plan.warm_up_seconds)
        gc.collect()
        gc.disable()
        return await _measured(clients, plan, len(warm_up))
    finally:
        gc.enable()
        for connection in connections:
            connection.close()


async def _phase(clients: Sequence[_Client], seconds: float) -> list[float]:
    """Run all clients for so long and return the latencies of all answers, in seconds."""
    deadline = perf_counter() + seconds
    async with asyncio.timeout(seconds + _PATIENCE_SECONDS):
        await asyncio.gather(*(client.run(deadline) for client in clients))
    return [latency for client in clients for latency in client.latencies]


async def _measured(clients: Sequence[_Client], plan: Plan, warm_up_answers: int) -> Measurement:
    before = cpu_seconds(plan.server), cpu_seconds(plan.postgres)
    own, started = process_time(), perf_counter()
    latencies = await _phase(clients, plan.seconds)
    seconds, own = perf_counter() - started, process_time() - own
    after = cpu_seconds(plan.server), cpu_seconds(plan.postgres)
    server, postgres = (
        None if then is None or now is None else now - then for then, now in zip(before, after, strict=True)
    )
    latencies.sort()
    return Measurement(
        answers=len(latencies),
        warm_up_answers=warm_up_answers,
        seconds=seconds,
        p50_ms=1_000 * percentile(latencies, 0.5),
        p99_ms=1_000 * percentile(latencies, 0.99),
        server_cpu_seconds=server,
        postgres_cpu_seconds=postgres,
        load_cpu_seconds=own,
    )
