"""What the doctor reports about each thing it checks."""

from enum import Enum
from functools import partial
from typing import NamedTuple


class Mark(Enum):
    """The result of a check, as a terminal shows it: with Unicode, and without."""

    OK = "✓", "ok"
    WARNING = "!", "!"
    PROBLEM = "✗", "x"
    SKIPPED = "–", "-"


class Finding(NamedTuple):
    """What a check found, and what to do about it."""

    mark: Mark
    what: str
    remedy: str = ""


ok = partial(Finding, Mark.OK)
warning = partial(Finding, Mark.WARNING)
"""The API works, but something could be better."""
problem = partial(Finding, Mark.PROBLEM)
skipped = partial(Finding, Mark.SKIPPED)
