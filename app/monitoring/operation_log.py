"""What is noted of an operation while it runs, for the log, the metrics and the traces to tell of."""

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

_current: ContextVar["Report | None"] = ContextVar("report", default=None)


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


class Report:
    """What is told of one operation. The log tells no more of what a client sent than the operation's name."""

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
        """As the client calls it; whether there is such an operation is known once it is described."""
        self.type = ""
        """query, mutation or subscription; nothing where the document is not valid."""
        self.is_described = False
        self.path = RESOLVER
        self.declined: str | None = None
        """Why the compiled path left it to the resolver path; may quote what the client sent."""
        self.viewer_id: UUID | None = None
        self.cost: int | None = None
        self.status: int | None = None
        """Of the response, over HTTP."""
        self.codes: Sequence[Any] = ()
        self.results: int | None = None
        """How many were sent, where they are many."""
        self.trace_id: str | None = None
        self.statements = 0
        self.statements_kept: list[tuple[str, float]] = []
        self.begun = perf_counter()

    def act_for(self, viewer: Viewer | None) -> None:
        """Note who asked."""
        self.viewer_id = None if viewer is None else viewer.id

    def describe(self, operation: Definition | None, cost: int | None) -> None:
        """Note what a valid document says of the operation; nothing where there is none."""
        if operation is None:
            return
        self.is_described, self.cost = True, cost
        self.type = operation.operation.value
        self.name = "" if operation.name is None else operation.name.value

    def note(self, sql: str, seconds: float) -> None:
        """Note a statement that was sent."""
        self.statements += 1
        if self.statements <= _STATEMENTS_KEPT:
            self.statements_kept.append((sql, seconds))


def begin(request_id: str, name: str | None = None) -> Report:
    """Return the report of an operation that begins in this task."""
    report = Report(request_id, name)
    _current.set(report)
    return report


def current() -> Report | None:
    """Return the report of the operation that runs in this task, if one does."""
    return _current.get()


class noted:  # noqa: N801  # contextlib's takes three times as long
    """Notes the statement that runs within, of the operation in this task; SQLAlchemy's are noted as they are."""

    __slots__ = ("begun", "sql")

    def __init__(self, sql: str) -> None:
        self.sql = sql

    def __enter__(self) -> None:
        self.begun = perf_counter()

    def __exit__(self, *_: object) -> None:
        report = _current.get()
        if report is not None:
            report.note(self.sql, perf_counter() - self.begun)


@event.listens_for(Engine, "before_cursor_execute")
def _begin_statement(_: Any, __: Any, sql: str, ___: Any, execution: Any, ____: bool) -> None:
    execution.noting = noted(sql)
    execution.noting.__enter__()


@event.listens_for(Engine, "after_cursor_execute")
def _end_statement(_: Any, __: Any, ___: str, ____: Any, execution: Any, _____: bool) -> None:
    execution.noting.__exit__()


@event.listens_for(Engine, "handle_error")
def _fail_statement(failed: Any) -> None:
    if (noting := getattr(failed.execution_context, "noting", None)) is not None:
        noting.__exit__()
