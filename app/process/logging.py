"""Logging of the process and its libraries to standard error: readable in a terminal, JSON lines in production."""

import json
import logging
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
import structlog
from stamina.instrumentation import set_on_retry_hooks
from structlog.typing import EventDict, Processor

from app.monitoring import operation_log
from app.settings import Environment, Settings


def logs_json(settings: Settings) -> bool:
    """Return whether the log consists of JSON lines."""
    if settings.log_format == "auto":
        return settings.app_env is Environment.PRODUCTION
    return settings.log_format == "json"


def configure_logging(settings: Settings) -> None:
    """Configure structlog, and format the logs of libraries alike. Tracebacks show no local variables, which may hold
    passwords and tokens."""
    in_json = logs_json(settings)
    first: list[Processor] = [
        _with_operation,
        structlog.processors.add_log_level,
        _stamp if in_json else structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _without_row_contents,
    ]
    renderer: Processor
    if in_json:
        renderer = structlog.processors.JSONRenderer(serializer=_json)
        logging.captureWarnings(True)
    else:
        first.append(_spell_viewer_out)
        plain = structlog.dev.plain_traceback
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)
    structlog.configure(
        processors=[*first, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(settings.log_level.upper())),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    _catch_libraries(first, renderer)


def _catch_libraries(first: Sequence[Processor], renderer: Processor) -> None:
    """Format the warnings and errors of libraries like ours; replaces the handler of an earlier call."""
    handler = logging.StreamHandler(sys.stderr)
    handler.name = __name__
    handler.setLevel(logging.WARNING)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *first],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    handler.addFilter(lambda record: not _is_clients_own(record))
    root = logging.getLogger()
    for former in [former for former in root.handlers if former.name == __name__]:
        root.removeHandler(former)
    root.addHandler(handler)
    set_on_retry_hooks(())  # a retry is no warning: clients can cause them, and what fails in the end is reported
    logging.getLogger("strawberry.ws").setLevel(logging.ERROR)  # we report refused origins ourselves, with the setting


def _is_clients_own(record: logging.LogRecord) -> bool:
    """Return whether a library reports what a client did: it disconnected while it was sent something, or sent a
    WebSocket's text that isn't UTF-8. Anyone could fill the log with that."""
    failure = record.exc_info[1] if record.exc_info else None
    has_gone = isinstance(failure, RuntimeError) and "the handler is closed" in str(failure)  # as uvloop says it
    return has_gone or record.msg == "Invalid UTF-8 sequence received from client."


def _stamp(_: Any, __: str, event: EventDict) -> EventDict:
    """Add the time, which orjson writes in a third of the time that structlog takes."""
    event["timestamp"] = datetime.now(UTC)
    return event


def _spell_viewer_out(_: Any, __: str, event: EventDict) -> EventDict:
    if event.get("viewer") is not None:
        event["viewer"] = str(event["viewer"])
    return event


def _json(event: EventDict, **_: Any) -> str:
    """Return the line. orjson rejects text that isn't valid Unicode, which clients may send."""
    try:
        return orjson.dumps(event, default=str, option=orjson.OPT_UTC_Z).decode()
    except TypeError:
        return json.dumps(event, default=str)


def _with_operation(_: Any, __: str, event: EventDict) -> EventDict:
    """Add the ids of the current operation."""
    if "request_id" not in event and (operation := operation_log.current()) is not None:
        event["request_id"] = operation.request_id
        if operation.trace_id is not None:
            event["trace_id"] = operation.trace_id
    return event


def _without_row_contents(_: Any, __: str, event: EventDict) -> EventDict:
    """Remove values from a traceback: Postgres's DETAIL lines quote rows, and the driver quotes arguments."""
    if isinstance(exception := event.get("exception"), str):
        exception = re.sub(r"^DETAIL: .*\n?", "", exception, flags=re.MULTILINE)
        event["exception"] = re.sub(r"(invalid input for query argument \$\d+): .*", r"\1", exception)
    return event
