"""How this process ends with the one that started it."""

import os
import signal
import time
from threading import Thread

_CHECK_EVERY_SECONDS = 0.5


def end_with_parent() -> None:
    """Send this process SIGTERM once its parent is gone: killed by `kill -9`, a parent cannot do it."""
    Thread(target=_watch, args=(os.getppid(),), name="end-with-parent", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_CHECK_EVERY_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
