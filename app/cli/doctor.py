"""Checks everything the API needs, changes nothing, and says how to fix each problem: `python -m app doctor`."""

import errno
import platform
from collections.abc import AsyncIterator, Iterator
from importlib.metadata import PackageNotFoundError, version
from ipaddress import ip_address
from pathlib import Path
from urllib.request import Request, urlopen

from limits import parse as parse_rate
from packaging.requirements import Requirement
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.cli.database_checks import database
from app.cli.output import Finding, ok, problem, skipped, warning
from app.cli.serving import SHARED_ADDRESS, shares_one_address
from app.monitoring.metrics import UNTRUSTED_FORWARDS
from app.process.files import files_wanted, raise_file_limit, why_too_few
from app.process.protocol import why_not_listen
from app.settings import ROOT, Environment, InvalidSettings, Settings, Trust, load_settings, renamed_settings
from app.web.graphiql import assets

LOCK = ROOT / "requirements.lock"

_PATIENCE_SECONDS = 5.0
_FEW_CHARACTERS = 12


async def examine() -> AsyncIterator[Finding]:
    """Yield the findings, in the order in which to fix them."""
    yield ok(f"Python {platform.python_version()}")
    yield packages(LOCK)
    try:
        settings = load_settings()
    except InvalidSettings as invalid:
        for line in str(invalid).splitlines():
            yield problem(line, "Settings come from the environment, .env and config/<APP_ENV>.env.")
        yield skipped("checks that depend on the settings: run this again once they are valid")
        return
    yield ok(f"settings: {settings.app_env}")
    for old, new in renamed_settings().items():
        yield warning(f"{old} has no effect", f"{new} is its new name.")
    for check in (production, trusted_documents, graphiql, port, connections, proxies):
        for finding in check(settings):
            yield finding
    async for finding in database(settings):
        yield finding
    yield await redis(settings)


def packages(lock: Path) -> Finding:
    """Compare the installed packages with the pinned ones."""
    if not lock.exists():
        return skipped(f"packages: there is no {lock.name} to compare them with")
    pinned = _pinned(lock)
    wrong = [*filter(None, map(_difference, pinned))]
    if wrong:
        return problem(f"packages differ from {lock.name}: {', '.join(wrong)}", "make install")
    return ok(f"packages: {len(pinned)} as pinned in {lock.name}")


def _pinned(lock: Path) -> list[Requirement]:
    """Return the requirements that apply to this machine."""
    lines = [line for line in lock.read_text().splitlines() if line and not line.startswith((" ", "#"))]
    requirements = [Requirement(line.removesuffix("\\").strip()) for line in lines]
    return [each for each in requirements if each.marker is None or each.marker.evaluate()]


def _difference(requirement: Requirement) -> str:
    """Return how the installed version differs from the pinned one, "" if it doesn't."""
    try:
        installed = version(requirement.name)
    except PackageNotFoundError:
        return f"{requirement.name} is missing"
    return "" if requirement.specifier.contains(installed, prereleases=True) else f"{requirement.name} is {installed}"


def production(settings: Settings) -> Iterator[Finding]:
    """Look for settings that suit development only."""
    if settings.app_env is not Environment.PRODUCTION:
        return
    if any(len(set(secret)) < _FEW_CHARACTERS for secret in settings.secret_keys):
        yield problem("SECRET_KEY is easy to guess; it signs every access token", "openssl rand -base64 48")
    counts_alone = settings.workers > 1 and not settings.rate_limit_storage
    origins, proxies = "List the pages' origins.", "List the proxies' addresses."
    doubts = (
        (settings.graphiql, "GRAPHIQL is open to everyone", "GRAPHIQL=false"),
        (settings.introspection, "INTROSPECTION shows the schema to everyone", "INTROSPECTION=false"),
        (settings.cors_origins == "*", "CORS_ORIGINS allows every page to call the API", origins),
        (settings.websocket_origins == "*", "WEBSOCKET_ORIGINS allows every page to connect", origins),
        (settings.trusted_proxies == "*", "TRUSTED_PROXIES trusts every client's X-Forwarded-For", proxies),
        (shares_one_address(settings, settings.host), SHARED_ADDRESS, "TRUSTED_PROXIES=127.0.0.1"),
        (not settings.attempt_limit, "attempts to log in are not limited", "ATTEMPT_LIMIT=60/minute"),
        (
            not settings.account_attempt_limit,
            "attempts to log in to one account are not limited",
            "ACCOUNT_ATTEMPT_LIMIT=100/hour",
        ),
        (
            counts_alone and bool(settings.rate_limit or settings.attempt_limit or settings.account_attempt_limit),
            "each worker applies the rate limits separately",
            "RATE_LIMIT_STORAGE=redis://…, or lower the limits.",
        ),
        (
            bool(settings.rate_limit) and parse_rate(settings.rate_limit).amount < settings.cost_limit,
            "RATE_LIMIT is below COST_LIMIT, so the most expensive operations are always rejected",
            f"RATE_LIMIT={settings.cost_limit}/minute or more, or lower COST_LIMIT.",
        ),
        (settings.metrics_token is None, "/metrics is disabled", "METRICS_TOKEN=…, 16 characters or more"),
        (settings.log_level == "debug", "LOG_LEVEL=debug is too verbose for production", "LOG_LEVEL=info"),
    )
    yield from (warning(what, remedy) for applies, what, remedy in doubts if applies)


def trusted_documents(settings: Settings) -> Iterator[Finding]:
    """Check the manifest, which the settings have already read."""
    if settings.trusted_documents_file is not None:
        unused = "" if settings.trusted_documents is not Trust.OFF else ", unused because TRUSTED_DOCUMENTS=off"
        yield ok(f"trusted documents: {settings.trusted_documents_file}{unused}")


def graphiql(settings: Settings) -> Iterator[Finding]:
    """Check GraphiQL's files."""
    if not settings.graphiql:
        return
    missing = [asset for asset in assets() if not asset.location.is_file()]
    if missing:
        yield warning("GraphiQL is not installed", "make graphiql (needs npm). The API works without it.")
    elif any(not asset.holds(asset.location.read_bytes()) for asset in assets()):
        yield problem("GraphiQL's files differ from the pinned ones", "rm -r app/web/graphiql/assets; make graphiql")
    else:
        yield ok("GraphiQL is installed")


def port(settings: Settings) -> Iterator[Finding]:
    """Check that the server could listen on the port."""
    place = f"{settings.host}:{settings.port}"
    failure = why_not_listen(settings.host, settings.port)
    yield _taken(settings, place, failure) if failure else ok(f"port: {place} is free")


def connections(settings: Settings) -> Iterator[Finding]:
    """Check that the system allows as many connections as the settings, once `serve` has raised its limit."""
    raise_file_limit(files_wanted(settings))
    reason = why_too_few(settings)
    if reason is not None:
        yield warning(f"connections: {reason}", f"Raise the limit on open files: ulimit -n {files_wanted(settings)}.")
    else:
        yield ok(f"connections: up to {settings.connections_per_process:,} per process")


def proxies(settings: Settings) -> Iterator[Finding]:
    """Check whether the running server, if there is one, has received requests of a proxy that it doesn't trust."""
    if not _is_ours(settings):
        return
    try:
        ignored = _untrusted_forwards(settings)
    except (OSError, ValueError):
        yield skipped("proxies: the running server shows no metrics with this METRICS_TOKEN; see its log for warnings")
        return
    if ignored:
        what = f"the running server ignored the forwarded headers of {ignored:,.0f} requests: {SHARED_ADDRESS}"
        yield warning(what, "List the proxy in TRUSTED_PROXIES; the log has its address: “forwarded headers ignored”.")
    else:
        yield ok("proxies: the running server has ignored no forwarded headers")


def _untrusted_forwards(settings: Settings) -> float:
    """Return how many forwarded requests the running server has counted as its proxy's own."""
    token = settings.metrics_token and settings.metrics_token.get_secret_value()
    headers = {"Authorization": f"Bearer {token}"}
    with urlopen(Request(f"http://{_address(settings)}/metrics", headers=headers), timeout=_PATIENCE_SECONDS) as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith(f"{UNTRUSTED_FORWARDS}_total "):
                return float(line.split()[1])
    raise ValueError("there is no such metric")


def _taken(settings: Settings, place: str, failure: OSError) -> Finding:
    if failure.errno == errno.EACCES:
        return problem(f"PORT: only root may listen on {place} ({failure.strerror})", "Use 1024 or above: PORT=8000.")
    if failure.errno != errno.EADDRINUSE:
        remedy = "HOST=127.0.0.1, or HOST=0.0.0.0 to accept connections from other machines."
        return problem(f"HOST: cannot listen on {place} ({failure.strerror})", remedy)
    if _is_ours(settings):
        return ok(f"port: this API already serves on {place}")
    remedy = f"Stop it, or use another port: PORT={settings.port + 1}."
    return problem(f"PORT: another program listens on {place}", remedy)


def _is_ours(settings: Settings) -> bool:
    """Return whether this API is what listens."""
    try:
        with urlopen(f"http://{_address(settings)}/livez", timeout=_PATIENCE_SECONDS) as answer:
            return bool(answer.read(100) == b"alive")
    except (OSError, ValueError):
        return False


def _address(settings: Settings) -> str:
    """Return where a server with these settings answers on this machine."""
    address = ip_address(settings.host)
    host = ("[::1]" if address.version == 6 else "127.0.0.1") if address.is_unspecified else settings.host
    return f"{host}:{settings.port}"


async def redis(settings: Settings) -> Finding:
    """Check the storage of rate limits."""
    url = settings.rate_limit_storage
    if not url:
        return skipped("Redis: RATE_LIMIT_STORAGE is not set, so each process counts separately")
    address, patience = url.replace("redis+unix", "unix"), _PATIENCE_SECONDS
    client = Redis.from_url(address, socket_connect_timeout=patience, socket_timeout=patience)
    try:
        await client.ping()
    except (RedisError, OSError) as failure:
        return problem(f"Redis does not answer: {failure}", "Start it, or correct RATE_LIMIT_STORAGE.")
    finally:
        await client.aclose()
    return ok("Redis answers")
