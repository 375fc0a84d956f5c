"""The settings of Postgres that the API relies on: how each connection has them, directly and behind a pooler."""

from collections.abc import Mapping

from sqlalchemy import URL

from app.settings import Settings

_PASSED_ON = {"application_name": "orders-api", "timezone": "UTC"}
"""What a pooler sets again for each of its clients, as Postgres reports these settings to it."""


def startup_parameters(settings: Settings) -> dict[str, str]:
    """Return what the pool's connections send when they connect. A pooler refuses the settings that it doesn't know, or
    drops them; behind one, the role has them."""
    if settings.database_direct_url is not None:
        return _PASSED_ON
    # So that Postgres releases the locks of a process that was cut off. A pooler takes care of its own connections.
    timeout = {"tcp_user_timeout": _milliseconds(2 * settings.operation_timeout_seconds)}
    return {**_PASSED_ON, **role_settings(settings), **timeout}


def role_settings(settings: Settings) -> dict[str, str]:
    """Return what every statement relies on, with values in the units of `pg_settings`."""
    return {
        "statement_timeout": _milliseconds(statement_seconds(settings)),
        # Releases the locks of a process that was suspended.
        "idle_in_transaction_session_timeout": _milliseconds(2 * settings.operation_timeout_seconds),
        # Short statements gain nothing from compilation, nor from more than one core, which others need.
        "jit": "off",
        "max_parallel_workers_per_gather": "0",
    }


def statement_seconds(settings: Settings) -> float:
    """Return how long a statement may take."""
    return min(settings.statement_timeout_seconds, settings.operation_timeout_seconds)


def alter_role(url: URL, values: Mapping[str, str]) -> list[str]:
    """Return the SQL that gives these settings to the role of a URL, for connections from then on."""
    role = '"{}"'.format((url.username or "").replace('"', '""')) if url.username else "CURRENT_USER"
    return [f"ALTER ROLE {role} SET {name} = '{value}';" for name, value in values.items()]


def _milliseconds(seconds: float) -> str:
    return str(max(1, round(seconds * 1000)))
