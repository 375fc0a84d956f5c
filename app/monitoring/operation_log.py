"""The record of one operation, kept while it runs, for the log, the metrics and the traces."""

from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, event

from app.db.texts import readable

SUBSCRIPTION = "subscription"
RESOLVER = "resolver"
COMPILED = "compiled"

_STATEMENTS_KEPT = 100  # of one operation; a subscription may send any number

_current: ContextVar["OperationLog | None"] = ContextVar("operation_log", default=None)


@dataclass(slots=True, eq=False)
class OperationLog:
    """The record of one operation. Of what a client sent it holds no more than the operation's name."""

    request_id: str
    name: str = ""
    """As the client sent it, until the name in the document is known."""
    type: str = ""
    """query, mutation or subscription; empty where the document is not valid."""
    path: str = RESOLVER
    declined: str | None = None
    """Why the compiled path declined it; may quote what the client sent."""
    viewer_id: UUID | None = None
    cost: int | None = None
    status: int | None = None
    """Of the response, over HTTP."""
    codes: Sequence[Any] = ()
    """Of the errors of the last response."""
    results: int | None = None
    """How many responses were sent, over a transport that streams."""
    trace_id: str | None = None
    client_request_id: str | None = None
    """The client's own id of the request."""
    statements: int = 0
    statements_kept: list[tuple[str, float]] = field(default_factory=list)
    begun: float = field(default_factory=perf_counter)

    def add_statement(self, sql: str, seconds: float) -> None:
        """Record a statement that was sent."""
        self.statements += 1
        if self.statements <= _STATEMENTS_KEPT:
            self.statements_kept.append((sql, seconds))


def begin(request_id: str, name: str | None = None, client_request_id: str | None = None) -> OperationLog:
    """Return the record of an operation that begins in this task."""
    log = OperationLog(request_id, name or "", client_request_id=client_request_id)
    _current.set(log)
    return log


def current() -> OperationLog | None:
    """Return the record of the operation that runs in this task, if one does."""
    return _current.get()


class timed_statement:  # noqa: N801  # contextlib's takes three times as long
    """Record the statement that runs within, for the operation in this task, and note it on what it raises. Those of
    SQLAlchemy record themselves."""

    __slots__ = ("begun", "sql")

    def __init__(self, sql: str) -> None:
        self.sql = sql

    def __enter__(self) -> None:
        self.begun = perf_counter()

    def __exit__(self, _: object = None, failure: BaseException | None = None, __: object = None) -> None:
        if failure is not None:
            failure.add_note(f"[SQL: {readable(self.sql)}]")
        log = _current.get()
        if log is not None:
            log.add_statement(self.sql, perf_counter() - self.begun)


@event.listens_for(Engine, "before_cursor_execute")
def _begin_statement(_: Any, __: Any, sql: str, ___: Any, execution: Any, ____: bool) -> None:
    execution.timing = timed_statement(sql)
    execution.timing.__enter__()


@event.listens_for(Engine, "after_cursor_execute")
def _end_statement(_: Any, __: Any, ___: str, ____: Any, execution: Any, _____: bool) -> None:
    execution.timing.__exit__()


@event.listens_for(Engine, "handle_error")
def _fail_statement(failed: Any) -> None:
    if (timing := getattr(failed.execution_context, "timing", None)) is not None:
        timing.__exit__()
