"""A Postgres of a test's own, which can be killed and started again."""

import signal
import time
from contextlib import ExitStack
from dataclasses import dataclass
from os import kill
from pathlib import Path

from tools.postgres import embedded_postgres, home_of
from tools.postgres_keeper import is_held


@dataclass
class Postgres:
    """A Postgres of the test's own."""

    url: str
    directory: Path
    users: ExitStack

    @property
    def pid(self) -> int:
        return int((home_of(self.directory) / "data" / "postmaster.pid").read_text().split()[0])

    def end(self, number: signal.Signals) -> None:
        """End it with a signal, and wait until it has gone."""
        kill(self.pid, number)
        deadline = time.monotonic() + 10
        while is_held(home_of(self.directory), "keeper"):
            assert time.monotonic() < deadline, "it does not end"
            time.sleep(0.01)

    def start(self) -> None:
        """Start it again, in its directory."""
        self.users.enter_context(embedded_postgres(self.directory))
