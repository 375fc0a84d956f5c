"""The record of one operation, kept while it runs, for the log, the metrics and the traces."""

from collections.abc import Sequence
from contextvars import ContextVar
from time import perf_counter
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy import Engine, event

from app.security.viewer import Viewer

SUBSCRIPTION = "subscription"
RESOLVER = "resolver"
COMPILED = "compiled"

_STATEMENTS_KEPT = 100  # of one operation; a subscription may send any number

_current: ContextVar["OperationLog | None"] = ContextVar("operation_log", default=None)


class Definition(Protocol):
    """An operation as a document defines it; as graphql-core has it, which the core does not know."""

    @property
    def operation(self) -> Any:
        """query, mutation or subscription."""
        ...

    @property
    def name(self) -> Any:
        """What it is called, if it is."""
        ...


class OperationLog:
    """The record of one operation. Of what a client sent it holds no more than the operation's name."""

    __slots__ = (
        "begun",
        "codes",
        "cost",
        "declined",
        "is_described",
        "name",
        "path",
        "request_id",
        "results",
        "statements",
        "statements_kept",
        "status",
        "trace_id",
        "type",
        "viewer_id",
    )

    def __init__(self, request_id: str, name: str | None = None) -> None:
        self.request_id = request_id
        self.name = name or ""
        """As the client sent it; `describe` replaces it with the name in the document."""
        self.type = ""
        """query, mutation or subscription; empty where the document is not valid."""
        self.is_described = False
        self.path = RESOLVER
        self.declined: str | None = None
        """Why the compiled path declined it; may quote what the client sent."""
        self.viewer_id: UUID | None = None
        self.cost: int | None = None
        self.status: int | None = None
        """Of the response, over HTTP."""
        self.codes: Sequence[Any] = ()
        self.results: int | None = None
        """How many responses were sent, over a transport that streams."""
        self.trace_id: str | None = None
        self.statements = 0
        self.statements_kept: list[tuple[str, float]] = []
        self.begun = perf_counter()

    def act_for(self, viewer: Viewer | None) -> None:
        """Record who asks."""
        self.viewer_id = None if viewer is None else viewer.id

    def describe(self, operation: Definition | None, cost: int | None) -> None:
        """Record what a valid document says about the operation, if there is one."""
        if operation is None:
            return
        self.is_described, self.cost = True, cost
        self.type = operation.operation.value
        self.name = "" if operation.name is None else operation.name.value

    def answer(self, path: str, codes: Sequence[Any]) -> None:
        """Record the path that answered, and the codes of the response's errors."""
        self.path, self.codes = path, codes

    def add_statement(self, sql: str, seconds: float) -> None:
        """Record a statement that was sent."""
        self.statements += 1
        if self.statements <= _STATEMENTS_KEPT:
            self.statements_kept.append((sql, seconds))


def begin(request_id: str, name: str | None = None) -> OperationLog:
    """Return the record of an operation that begins in this task."""
    log = OperationLog(request_id, name)
    _current.set(log)
    return log


def current() -> OperationLog | None:
    """Return the record of the operation that runs in this task, if one does."""
    return _current.get()


class timed_statement:  # noqa: N801  # contextlib's takes three times as long
    """Record the statement that runs within, for the operation in this task; SQLAlchemy's record themselves."""

    __slots__ = ("begun", "sql")

    def __init__(self, sql: str) -> None:
        self.sql = sql

    def __enter__(self) -> None:
        self.begun = perf_counter()

    def __exit__(self, *_: object) -> None:
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
