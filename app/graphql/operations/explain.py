"""What `extensions.explain` tells of an operation: which lane answered, and what it sent to Postgres."""

from time import perf_counter
from typing import Any

from app.monitoring.monitor import milliseconds, statements_of
from app.monitoring.operation_log import Report

HEADER = "X-Explain"


def explained(report: Report, lane: str) -> dict[str, Any]:
    """Return what is told of an operation that this lane has executed, without the values of its statements."""
    told: dict[str, Any] = {"lane": lane, "milliseconds": milliseconds(perf_counter() - report.begun)}
    if report.declined is not None:
        told["declined"] = report.declined
    return {**told, "statements": statements_of(report)}
