"""Arguments as they are used: what is absent or null is None, and a text is one that Postgres can take."""

from typing import TypeVar

import strawberry

from app.errors import BadUserInput

_MAX_TEXT = 500

T = TypeVar("T")


def or_none(value: T | None) -> T | None:
    """Return the value of an optional argument, None where it is absent."""
    return None if value is strawberry.UNSET else value


def text(argument: str, value: str | None) -> str | None:
    """Return the trimmed text of a filter, None where it is absent or blank and so restricts nothing.

    BadUserInput names the argument where Postgres could not take the text, or nobody would send it.
    """
    trimmed = (or_none(value) or "").strip()
    if "\0" in trimmed:
        raise BadUserInput(argument, "must not contain control characters")
    if len(trimmed) > _MAX_TEXT:
        raise BadUserInput(argument, f"must have at most {_MAX_TEXT} characters")
    return trimmed or None


def code(argument: str, value: str | None) -> str | None:
    """Return the text of a filter by a code, which is in capitals."""
    found = text(argument, value)
    return found and found.upper()
