"""How server processes start and stop: on a signal, or together with the process that started them."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from socket import socket
from threading import Thread, current_thread, main_thread
from types import FrameType

import uvicorn

from app.process.uvicorn_internals import Multiprocess

_CHECK_EVERY_SECONDS = 0.5
_LAST_SECONDS = 5.0  # after the grace period, to close connections
_STARTUP_FAILED = 3  # the exit code of uvicorn's own command


def exit_on_termination() -> None:
    """Exit successfully on SIGTERM and clean up; uvicorn raises the signal again after it has shut down."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))


def serve(config: uvicorn.Config, drain_seconds: float) -> None:
    """Serve until a signal, in this process or in several workers, each of which then serves on for so long."""
    if config.workers == 1:
        server = uvicorn.Server(config)
        with suppress(KeyboardInterrupt):
            server.run()
        if not server.started:
            sys.exit(_STARTUP_FAILED)
    else:
        Supervisor(config, [config.bind_socket()], drain_seconds).run()


class Supervisor(Multiprocess):
    """Starts the workers and replaces any that die. On shutdown it stops accepting connections, which nobody would
    serve, and kills a worker that doesn't stop in time."""

    def __init__(self, config: uvicorn.Config, sockets: list[socket], drain_seconds: float) -> None:
        super().__init__(config, sockets)
        self._drain_seconds = drain_seconds

    def terminate_all(self) -> None:
        """Stop listening and signal the workers to stop."""
        for listening in self.sockets:
            listening.close()
        super().terminate_all()

    def join_all(self) -> None:
        """Wait for the workers, and kill those that don't stop in time."""
        grace = self._drain_seconds + (self.config.timeout_graceful_shutdown or 0)
        deadline = time.monotonic() + grace + _LAST_SECONDS
        for worker in self.processes:
            worker.process.join(max(0, deadline - time.monotonic()))
            if worker.exitcode is None:
                worker.kill()
                worker.join()


@contextmanager
def on_termination(
    farewell: Callable[[], Awaitable[None]], drain: Callable[[], None], drain_seconds: float
) -> Iterator[None]:
    """Call `farewell` on SIGTERM or SIGINT, before the server's own handler waits for open requests. On the first
    SIGTERM, call `drain` and serve on for so long before that, until proxies have noticed."""
    if current_thread() is not main_thread():
        yield
        return
    loop, tasks = asyncio.get_running_loop(), set[asyncio.Future[None]]()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    is_draining = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal is_draining
        if number == signal.SIGTERM and drain_seconds and not is_draining:
            is_draining = True
            drain()
            loop.call_soon_threadsafe(loop.call_later, drain_seconds, end, number, frame)
        else:
            end(number, frame)

    def end(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(lambda: tasks.add(asyncio.ensure_future(farewell())))
        handler = handlers[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)

    for number, handler in handlers.items():
        if callable(handler):
            signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def end_with_parent(parent: int) -> None:
    """Send SIGTERM to this process once its parent is gone; a parent killed by `kill -9` cannot do so."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_CHECK_EVERY_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)

    Thread(target=watch, name="end-with-parent", daemon=True).start()
