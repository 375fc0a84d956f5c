"""How server processes settle in, and how they end: when they are told to, or with the one that started them."""

import asyncio
import gc
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Thread, current_thread, main_thread
from types import FrameType

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

_CHECK_EVERY_SECONDS = 0.5
_LAST_SECONDS = 5.0  # after the grace, to close what is open


def collect_seldom() -> None:
    """Collect garbage less often: a sixth of the time to start went into walking through what is no garbage."""
    gc.set_threshold(50_000, 10, 10)


def settle() -> None:
    """Leave what was made while starting out of garbage collection, and collect the rest less often: half the time of
    a query in the ordinary lane went into walking through objects that live as long as the process."""
    gc.collect()
    gc.freeze()
    collect_seldom()


def exit_on_termination() -> None:
    """Have SIGTERM end this process as a success, with all that is to be done at the end; uvicorn, which ends for it by
    itself, sends it once more when it is done."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))


def serve(config: uvicorn.Config) -> None:
    """Serve until a signal ends it, in this process or in several workers."""
    if config.workers == 1:
        server = uvicorn.Server(config)
        with suppress(KeyboardInterrupt):
            server.run()
        if not server.started:
            sys.exit(STARTUP_FAILURE)
    else:
        Supervisor(config, [config.bind_socket()]).run()


class Supervisor(Multiprocess):
    """Starts the workers, and another one where one dies. Once they are told to end, nobody can connect, who would only
    wait; and a worker that does not end is made to."""

    def terminate_all(self) -> None:
        """Tell the workers to end."""
        for listening in self.sockets:
            listening.close()
        super().terminate_all()

    def join_all(self) -> None:
        """Wait for the workers."""
        deadline = time.monotonic() + (self.config.timeout_graceful_shutdown or 0) + _LAST_SECONDS
        for worker in self.processes:
            worker.process.join(max(0, deadline - time.monotonic()))
            if worker.exitcode is None:
                worker.kill()
                worker.join()


@contextmanager
def on_termination(farewell: Callable[[], Awaitable[None]]) -> Iterator[None]:
    """Call this when a signal ends the process, before whoever handles the signal waits for what is still going on."""
    if current_thread() is not main_thread():
        yield
        return
    loop, tasks = asyncio.get_running_loop(), set[asyncio.Future[None]]()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def handle(number: int, frame: FrameType | None) -> None:
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
    """Send this process SIGTERM once the parent with this id is gone: killed by `kill -9`, it cannot do so itself."""
    Thread(target=_watch, args=(parent,), name="end-with-parent", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_CHECK_EVERY_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
