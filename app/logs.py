"""How the process logs: readable in a terminal, JSON lines in production, on standard error."""

import logging
import re
import sys
from typing import Any

import structlog
from structlog.typing import EventDict

from app.settings import Environment, Settings


def _without_row_contents(_: Any, __: str, event: EventDict) -> EventDict:
    """Take Postgres's DETAIL lines out of a traceback: they quote the row that was refused."""
    if isinstance(exception := event.get("exception"), str):
        event["exception"] = re.sub(r"^DETAIL: .*\n?", "", exception, flags=re.MULTILINE)
    return event


def configure_logging(settings: Settings) -> None:
    """Set up structlog. Tracebacks show no local variables: they hold passwords and tokens."""
    production = settings.app_env is Environment.PRODUCTION
    renderer = (
        structlog.processors.JSONRenderer()
        if production
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _without_row_contents,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(settings.log_level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
