"""Commands that fail, run in the process of the tests: to start one of its own takes most of a second."""

import sys
from collections.abc import Callable
from typing import NamedTuple

import pytest

from app import __main__ as start
from app.cli import commands
from app.process import supervisor as processes
from tests.databases import environment_of


class Ended(NamedTuple):
    """How a command ended, and what it said."""

    code: int
    text: str

    @property
    def last_line(self) -> str:
        """What it said at last."""
        return self.text.splitlines()[-1]


RunFailing = Callable[..., Ended]


@pytest.fixture
def run_failing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> RunFailing:
    """Runs a command that must fail, in this process."""
    monkeypatch.setattr(processes, "exit_on_termination", lambda: None)
    monkeypatch.setattr(processes, "serve", lambda *_: pytest.fail("it serves"))
    monkeypatch.setattr(commands, "configure_logging", lambda _: None)
    monkeypatch.setenv("DATABASE_START_WAIT_SECONDS", "0")

    def run(*arguments: str, **environment: str) -> Ended:
        monkeypatch.delenv("DATABASE_DIRECT_URL", raising=False)
        url = environment.get("DATABASE_URL")
        for name, value in {**(environment_of(url) if url else {}), **environment}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["app", *arguments])
        with pytest.raises(SystemExit) as ended:
            start.run()
        assert ended.value.code in (1, 2)
        printed = capsys.readouterr()
        assert "Traceback" not in printed.out + printed.err
        return Ended(ended.value.code, printed.err)

    return run
