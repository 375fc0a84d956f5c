"""What `extensions.explain` tells of an operation: which path answered, and what it sent to Postgres."""

from time import perf_counter
from typing import Any

from app.monitoring.monitor import milliseconds, statements_of
from app.monitoring.operation_log import Report

HEADER = "X-Explain"


def explained(report: Report, path: str) -> dict[str, Any]:
    """Return what is told of an operation that this path has executed, without the values of its statements."""
    told: dict[str, Any] = {"path": path, "milliseconds": milliseconds(perf_counter() - report.begun)}
    if report.declined is not None:
        told["declined"] = report.declined
    return {**told, "statements": statements_of(report)}
