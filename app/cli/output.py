"""What commands write to the terminal: messages, failures, and findings with their remedies."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from functools import partial
from typing import NamedTuple, NoReturn

import typer


class Mark(Enum):
    """The result of a check, as a terminal shows it: with Unicode, without, and its color."""

    OK = "✓", "ok", "green"
    WARNING = "!", "!", "yellow"
    PROBLEM = "✗", "x", "red"
    SKIPPED = "–", "-", None


class Finding(NamedTuple):
    """What a check found, or why a command failed, and what to do about it."""

    mark: Mark
    what: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.what[:1].upper()}{self.what[1:]}. {self.remedy}"


ok = partial(Finding, Mark.OK)
warning = partial(Finding, Mark.WARNING)
"""The API works, but something could be better."""
problem = partial(Finding, Mark.PROBLEM)
skipped = partial(Finding, Mark.SKIPPED)


def say(message: str) -> None:
    """Write a message for people to standard error."""
    typer.echo(message, err=True)


def fail(message: str, code: int = 1) -> NoReturn:
    """End the command with a message."""
    say(message)
    raise typer.Exit(code)


def print_line(line: str) -> None:
    """Print a line; a terminal without Unicode shows `?` for what it cannot display."""
    typer.echo(line if _has_unicode() else line.encode("ascii", "replace").decode())


def print_finding(finding: Finding) -> None:
    """Print a finding of the doctor, with its remedy below."""
    unicode, plain, color = finding.mark.value
    print_line(f"{typer.style(f'{unicode if _has_unicode() else plain:<2}', fg=color)} {finding.what}")
    if finding.remedy:
        print_line(f"   -> {finding.remedy}")


@contextmanager
def progress_bars() -> Iterator[Callable[[str, int, int], None]]:
    """Show a progress bar for each thing that is reported, with the number done and the total."""
    from rich.progress import MofNCompleteColumn, Progress, TaskID, TimeElapsedColumn

    tasks: dict[str, TaskID] = {}
    with Progress(*Progress.get_default_columns(), MofNCompleteColumn(), TimeElapsedColumn()) as progress:

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=total)
            progress.update(tasks[what], completed=done)

        yield show


def _has_unicode() -> bool:
    return (sys.stdout.encoding or "").lower() in ("utf-8", "utf8")
