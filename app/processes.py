"""How a server process settles in, and how it ends with the one that started it."""

import gc
import os
import signal
import time
from threading import Thread

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


def end_with_parent(parent: int) -> None:
    """Send this process SIGTERM once the parent with this id is gone: killed by `kill -9`, it cannot do so itself."""
    Thread(target=_watch, args=(parent,), name="end-with-parent", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_CHECK_EVERY_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
