"""What the doctor says of one thing that it looked at."""

from enum import Enum
from typing import NamedTuple


class Mark(Enum):
    """How something is, with how a terminal that has no Unicode shows it."""

    FINE = "✓", "ok"
    MIND = "!", "!"
    MEND = "✗", "x"
    SKIPPED = "–", "-"


class Finding(NamedTuple):
    """What was found, and what is to be done about it."""

    mark: Mark
    what: str
    remedy: str = ""


def fine(what: str) -> Finding:
    """Return that something is as it should be."""
    return Finding(Mark.FINE, what)


def mind(what: str, remedy: str) -> Finding:
    """Return that something could be better, without which the API works."""
    return Finding(Mark.MIND, what, remedy)


def mend(what: str, remedy: str) -> Finding:
    """Return that something is wrong."""
    return Finding(Mark.MEND, what, remedy)


def skipped(what: str) -> Finding:
    """Return that something could not be looked at, or need not be."""
    return Finding(Mark.SKIPPED, what)
