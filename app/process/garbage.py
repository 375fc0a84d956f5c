"""How garbage is collected: so that nobody waits long. An object takes 0.5 µs, and nobody is answered meanwhile."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


def collect_seldom() -> None:
    """Collect garbage less often than Python does: collections took a sixth of the start-up time and found nothing. But
    often enough for all but the full ones to take about 30 ms at most."""
    gc.set_threshold(10_000, 5, 3)


def settle() -> None:
    """Exclude the objects made during start-up from garbage collection, and collect less often.

    Traversing objects that live as long as the process took half the time of a query on the resolver path."""
    gc.collect()
    gc.freeze()
    collect_seldom()


@contextmanager
def collected_afterwards() -> Iterator[None]:
    """Collect no garbage before the end of this, and then, if there is enough, with the next object that is made. To
    validate or compile a document leaves up to a hundred thousand objects in cycles; if a collection came in between,
    they would stay until a full one, which took 0.4 s."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
