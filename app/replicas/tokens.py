"""Consistency tokens: a mutation returns one, and queries that send it see what the mutation did, wherever they run.

A token is the id of an entry of the audit trail, which every mutation writes in its transaction: a server that shows
the entry shows the rest, too."""

from collections.abc import Sequence
from uuid import UUID

from app.errors import BadUserInput

HEADER = "Consistency-Token"
EXTENSION = "consistencyToken"
MOST = 10
"""Tokens that a client sends: those of its last mutations. One includes all that was done before its mutation began,
but some may have overlapped, and a replayed response has an old one. To a request with more, the primary answers."""
NONE: Sequence[UUID] = ()
_OF_NOTHING = UUID(int=0)


def parsed(text: object, name: str) -> Sequence[UUID]:
    """Return the tokens in a list with commas, each once; BadUserInput, naming what was sent so, if it is none."""
    if not isinstance(text, str):
        raise BadUserInput(name, "must be a string")
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if len(parts) > MOST:
        return [_OF_NOTHING]
    try:
        return [*dict.fromkeys(UUID(hex=part) for part in parts)]
    except ValueError:
        raise BadUserInput(name, "must have the tokens that mutations return, separated by commas") from None


class Written:
    """The tokens of a client's last mutations, the newest last."""

    def __init__(self) -> None:
        self.tokens: Sequence[UUID] = NONE

    def add(self, token: UUID) -> None:
        """Add the token of a mutation."""
        self.tokens = [*(each for each in self.tokens if each != token), token][-MOST:]
