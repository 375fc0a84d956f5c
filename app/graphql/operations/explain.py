"""`extensions.explain`: which path answered an operation, and the statements it sent to Postgres."""

from time import perf_counter
from typing import Any

from app.monitoring.monitor import milliseconds, statements_of
from app.monitoring.operation_log import OperationLog

HEADER = "X-Explain"


def explained(log: OperationLog, path: str) -> dict[str, Any]:
    """Return the explanation of an operation that this path executed, without the values of its statements."""
    explanation: dict[str, Any] = {"path": path, "milliseconds": milliseconds(perf_counter() - log.begun)}
    if log.declined is not None:
        explanation["declined"] = log.declined
    return {**explanation, "statements": statements_of(log)}
