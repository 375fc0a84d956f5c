"""What `extensions.explain` tells of an operation: which lane answered, and what it sent to Postgres."""

from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from app.graphql.compiled.text import QUOTE

HEADER = "X-Explain"


@dataclass
class Explanation:
    """Notes what an operation does, while it does."""

    lane: str = "ordinary"
    declined: str | None = None
    """Why the compiled lane left the operation to the ordinary one."""
    statements: list[dict[str, Any]] = field(default_factory=list)
    _begun: float = field(default_factory=perf_counter)

    def add(self, sql: str, seconds: float) -> None:
        """Note a statement, without the values that it was sent with."""
        self.statements.append({"sql": sql.replace(QUOTE, '"'), "milliseconds": _milliseconds(seconds)})

    def shown(self) -> dict[str, Any]:
        """Return the explanation as clients see it."""
        shown: dict[str, Any] = {"lane": self.lane, "milliseconds": _milliseconds(perf_counter() - self._begun)}
        if self.declined is not None:
            shown["declined"] = self.declined
        return {**shown, "statements": self.statements}


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 3)
