"""How commands write to the terminal, and how they fail."""

import sys
from typing import NoReturn

import typer

from app.cli.findings import Finding, Mark

_COLOURS = {Mark.OK: "green", Mark.WARNING: "yellow", Mark.PROBLEM: "red", Mark.SKIPPED: None}


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
    mark = finding.mark.value[0 if _has_unicode() else 1]
    print_line(f"{typer.style(f'{mark:<2}', fg=_COLOURS[finding.mark])} {finding.what}")
    if finding.remedy:
        print_line(f"   -> {finding.remedy}")


def _has_unicode() -> bool:
    return (sys.stdout.encoding or "").lower() in ("utf-8", "utf8")
