"""A Postgres with a standby, for tests that skip where the programs are missing."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tools import clusters
from tools.clusters import Cluster, Node, NoPrograms

__all__ = ["Cluster", "Node", "cluster"]


def programs() -> Path:
    """Return the directory of Postgres's programs."""
    try:
        return clusters.programs()
    except NoPrograms as missing:
        pytest.skip(str(missing))


@contextmanager
def cluster(*, is_synchronous: bool = False, **settings: str) -> Iterator[Cluster]:
    """Run a primary with a standby, which has confirmed each commit if it is synchronous. `settings` are Postgres's."""
    programs()
    with clusters.cluster(is_synchronous=is_synchronous, **settings) as servers:
        yield servers
