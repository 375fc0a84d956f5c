"""How a server process settles in, and how it ends with the one that started it."""

import asyncio
import gc
import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from threading import Thread, current_thread, main_thread
from types import FrameType

_CHECK_EVERY_SECONDS = 0.5


def collect_seldom() -> None:
    """Collect garbage less often: a sixth of the time to start went into walking through what is no garbage."""
    gc.set_threshold(50_000, 10, 10)


def settle() -> None:
    """Leave what was made while starting out of garbage collection, and collect the rest less often: half the time of
    a query in the ordinary lane went into walking through objects that live as long as the process."""
    gc.collect()
    gc.freeze()
    collect_seldom()


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
