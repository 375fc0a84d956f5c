"""What `serve` does around the server itself."""

import asyncio
import errno
from contextlib import suppress

import uvicorn
from sqlalchemy import make_url

from app.cli.databases import Announce, requires_tools, run, wait
from app.cli.output import Mark, fail, say
from app.cli.pooler_check import pooler_finding
from app.process.files import files_wanted, raise_file_limit, why_too_few
from app.process.protocol import Protocol, WebSocketProtocol, why_not_listen
from app.process.readiness import why_not_ready
from app.settings import Environment, Settings, is_loopback

PUBLIC_PASSWORD = "the password of the demo accounts is public"  # noqa: S105 - it is none
SHARED_ADDRESS = "all clients of the proxy share one address, and its attempts to log in"


def require_suitable_pooler(settings: Settings, url: str, announce: Announce) -> None:
    """End the command if the API cannot work behind the pooler of its database."""
    if settings.database_direct_url is not None:
        wait(url, settings, announce)
    finding = asyncio.run(pooler_finding(settings, url))
    if finding.mark is Mark.PROBLEM:
        fail(str(finding), code=2)


def warn_if_not_ready(url: str) -> None:
    """Say what the database is missing."""
    reason = asyncio.run(why_not_ready(make_url(url)))
    if reason is not None:
        say(f"Not ready: {reason}. Run `python -m app migrate`, or serve with `--migrate`.")


def open_demo_shop(url: str, announce: Announce) -> None:
    """Fill the database with the demo shop if it is empty."""
    with requires_tools("The demo shop"):
        from tools.demo import seed_demo
        from tools.seeding import NotEmpty
    with suppress(NotEmpty):
        announce(f"Created the demo shop: {run(url, seed_demo)}.")


def configured(settings: Settings, host: str, port: int, workers: int) -> uvicorn.Config:
    """Return the configuration of uvicorn."""
    return uvicorn.Config(
        "app.main:create_app",
        factory=True,
        host=host,
        port=port,
        workers=workers,
        http=Protocol,
        ws=WebSocketProtocol,
        access_log=False,
        log_config=None,  # its loggers are configured like all others
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=settings.shutdown_grace_seconds,
        # On a busy machine a worker takes more than the default 5 s to import; a dead one is noticed after as long.
        timeout_worker_healthcheck=10,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=settings.trusted_proxies,
        ws_max_size=settings.body_limit_kb * 1024,
        ws_per_message_deflate=False,  # compression would take more memory per client than everything else
    )


def allow_connections(settings: Settings, announce: Announce) -> None:
    """Raise the limit on open files as far as needed, and say where that isn't possible."""
    raise_file_limit(files_wanted(settings))
    reason = why_too_few(settings)
    if reason is not None:
        announce(f"Few connections: {reason}. Raise the limit on open files (`ulimit -n`).")


def require_free_port(host: str, port: int) -> None:
    """End the command if the server could not listen there."""
    failure = why_not_listen(host, port)
    if failure is None:
        return
    if failure.errno in (errno.EADDRINUSE, errno.EACCES):
        fail(f"PORT: cannot listen on {host}:{port} ({failure.strerror}). Choose another, such as PORT={port + 1}.")
    fail(f"HOST: cannot listen on {host} ({failure.strerror}). Choose an address of this machine.")


def require_secrets(settings: Settings, host: str, *, demo: bool) -> None:
    """End the command if others than this machine could log in with what everybody knows."""
    if message := settings.why_secret(host):
        fail(message, code=2)
    if demo and (reason := settings.why_public(host)):
        fail(f"--demo: {reason}, and {PUBLIC_PASSWORD}. Serve without --demo.", code=2)


def require_no_demo_accounts(settings: Settings, host: str, url: str) -> None:
    """End the command if others than this machine could log in to the demo accounts of the database."""
    from app.users.demo import demo_accounts_in

    reason = settings.why_public(host)
    if reason is not None and (found := asyncio.run(demo_accounts_in(url))):
        remedy = "Use another database, or serve on 127.0.0.1 first to change their passwords or delete them."
        fail(f"{reason}, and {PUBLIC_PASSWORD}: {', '.join(found)} can log in. {remedy}", code=2)


def shares_one_address(settings: Settings, host: str) -> bool:
    """Return whether requests can only come from a proxy on this machine, whose address is taken for every client's."""
    is_production = settings.app_env is Environment.PRODUCTION
    return is_production and is_loopback(host) and not settings.trusted_proxies


def greet(settings: Settings, host: str, port: int, *, demo: bool) -> None:
    """Say where the API is, and which accounts can log in."""
    address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    say(f"\nOrders API: {address}")
    say(f"{'GraphiQL' if settings.graphiql else 'Endpoint'}: {address}/graphql")
    if demo:
        from app.users.demo import DEMO_ACCOUNTS, DEMO_PASSWORD

        say(f"Demo accounts, all with the password {DEMO_PASSWORD!r}:")
        for account in DEMO_ACCOUNTS:
            say(f"  {account.email:<24} {account.role}")
    say("Press Ctrl-C to stop.\n")
