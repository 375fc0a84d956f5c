"""Consistency tokens: a mutation returns one, and queries that send it see what the mutation did, wherever they run.

A token is the id of an entry of the audit trail, which every mutation writes in its transaction: a server that shows
the entry shows the rest, too."""

from collections.abc import Sequence
from uuid import UUID

from app.errors import BadUserInput

HEADER = "Consistency-Token"
EXTENSION = "consistencyToken"
MOST = 10
"""Tokens that a request may send, at most: those of mutations that overlapped. Otherwise the newest includes all."""
NONE: Sequence[UUID] = ()


def parsed(text: object, name: str) -> Sequence[UUID]:
    """Return the tokens in a list with commas, each once; BadUserInput, naming what was sent so, if it is none."""
    if not isinstance(text, str):
        raise BadUserInput(name, "must be a string")
    given = dict.fromkeys(part.strip() for part in text.split(",", MOST))
    try:
        tokens = [UUID(hex=part) for part in given if part]
    except ValueError:
        raise BadUserInput(name, "must have the tokens that mutations return, separated by commas") from None
    if len(tokens) > MOST:
        raise BadUserInput(name, f"must have at most {MOST} tokens")
    return tokens


class Written:
    """The tokens that a client needs to send so that it sees all that it wrote."""

    def __init__(self) -> None:
        self.tokens: Sequence[UUID] = NONE

    def add(self, token: UUID, known: Sequence[UUID]) -> None:
        """Add the token of a mutation that was sent when these tokens were known. It includes what they stand for, as
        its transaction began later; it may not include that of one that overlapped."""
        kept = [each for each in self.tokens if each not in known and each != token]
        self.tokens = [*kept, token][-MOST:]
