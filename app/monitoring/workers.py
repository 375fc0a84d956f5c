"""Where several workers share their figures; imported by the process that supervises them, which needs nothing else."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory

DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
"""What the library reads, before anything is counted."""


@contextmanager
def figures_shared(workers: int) -> Iterator[None]:
    """Let the workers that are started within share their figures, and nobody else's that were left behind."""
    os.environ.pop(DIRECTORY, None)
    if workers == 1:
        yield
        return
    with TemporaryDirectory(prefix="orders-api-metrics-") as directory:
        os.environ[DIRECTORY] = directory
        try:
            yield
        finally:
            del os.environ[DIRECTORY]
