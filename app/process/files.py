"""The limit of the operating system on the open files of a process: each connection is one."""

import resource
from contextlib import suppress

from app.process.connections import Limits
from app.settings import Settings

_OTHERS = 64  # for what listens, logs, waits and is being refused
_UNLIMITED = resource.RLIM_INFINITY


def files_wanted(settings: Settings) -> int:
    """Return how many files a process may have open at once."""
    return settings.connections_per_process + _files_besides(settings)


def raise_file_limit(wanted: int) -> None:
    """Raise the limit of this process, and those it starts, as far as the system allows. Its default is often 1,024 or
    less, for programs that use `select`, which nothing here does."""
    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if _UNLIMITED != allowed < wanted:
        with suppress(OSError, ValueError):  # macOS has another limit
            within = wanted if most == _UNLIMITED else min(wanted, most)
            resource.setrlimit(resource.RLIMIT_NOFILE, (within, most))


def connection_limits(settings: Settings) -> Limits:
    """Return the limits of the settings, lowered to what the system allows."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    in_all = settings.connections_per_process
    if _UNLIMITED != allowed < files_wanted(settings):
        in_all = max(2, allowed - _files_besides(settings))
    return Limits(
        in_all=in_all,
        per_user=settings.connections_per_user,
        per_address=settings.connections_per_address,
        request_seconds=settings.request_timeout_seconds,
        response_seconds=settings.response_timeout_seconds,
    )


def why_too_few(settings: Settings) -> str | None:
    """Return that the system allows fewer connections than the settings; None if it doesn't."""
    limits = connection_limits(settings)
    if limits.in_all >= settings.connections_per_process:
        return None
    return (
        f"the system allows {limits.in_all:,} connections per process instead of {settings.connections_per_process:,}, "
        f"{limits.per_site:,} of them per address"
    )


def _files_besides(settings: Settings) -> int:
    """Return how many files are no clients' connections."""
    return settings.database_pool_size + _OTHERS
