"""Looks at all that the API needs, changes nothing, and says how to mend what is wrong: `python -m app doctor`."""

import errno
import platform
from collections.abc import AsyncIterator, Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from limits import parse as parse_rate
from packaging.requirements import Requirement

from app.__main__ import OLDEST
from app.cli.database_checks import database
from app.cli.findings import Finding, fine, mend, mind, skipped
from app.process.protocol import why_not_listen
from app.settings import ROOT, Environment, InvalidSettings, Settings, Trust, load_settings
from app.web.graphiql.manifest import assets

LOCK = ROOT / "requirements.lock"

_PATIENCE_SECONDS = 5.0
_FEW_CHARACTERS = 12


async def examine() -> AsyncIterator[Finding]:
    """Yield what there is to say, in the order in which it is to be mended."""
    yield python(platform.python_version_tuple())
    yield packages(LOCK)
    try:
        settings = load_settings()
    except InvalidSettings as invalid:
        for line in str(invalid).splitlines():
            yield mend(line, "Settings come from the environment, .env and config/<APP_ENV>.env.")
        yield skipped("all that depends on the settings: ask again when they are mended")
        return
    yield fine(f"settings: {settings.app_env}")
    for check in _OF_SETTINGS:
        for finding in check(settings):
            yield finding
    async for finding in database(settings):
        yield finding
    yield await redis(settings)


def python(running: tuple[str, ...]) -> Finding:
    """Look at the interpreter."""
    name = f"Python {'.'.join(running)}"
    if tuple(int(part) for part in running[:2]) < OLDEST:
        return mend(f"{name} is too old", "PYTHON=python3.13 make run, with Python 3.11 or newer.")
    return fine(name)


def packages(lock: Path) -> Finding:
    """Compare what is installed with what is pinned."""
    if not lock.exists():
        return skipped(f"packages: there is no {lock.name} to compare them with")
    pinned = [*_pinned(lock)]
    wrong = [told for requirement in pinned if (told := _difference(requirement))]
    if wrong:
        return mend(f"packages are not as in {lock.name}: {', '.join(wrong)}", "make install")
    return fine(f"packages: {len(pinned)} as in {lock.name}")


def _pinned(lock: Path) -> Iterator[Requirement]:
    """Yield what is to be installed on this machine."""
    for line in lock.read_text().splitlines():
        if line and not line.startswith((" ", "#")):
            requirement = Requirement(line.removesuffix("\\").strip())
            if requirement.marker is None or requirement.marker.evaluate():
                yield requirement


def _difference(requirement: Requirement) -> str:
    """Return how what is installed differs from what is pinned, "" where it does not."""
    try:
        installed = version(requirement.name)
    except PackageNotFoundError:
        return f"{requirement.name} is missing"
    return "" if requirement.specifier.contains(installed, prereleases=True) else f"{requirement.name} is {installed}"


def production(settings: Settings) -> Iterator[Finding]:
    """Look for settings that are good for development only."""
    if settings.app_env is not Environment.PRODUCTION:
        return
    if len(set(settings.secret_key.get_secret_value())) < _FEW_CHARACTERS:
        yield mend("SECRET_KEY is easy to guess: whoever does is whoever they like", "openssl rand -base64 48")
    counts_alone = settings.workers > 1 and not settings.rate_limit_storage
    doubts = (
        (settings.graphiql, "GRAPHIQL is open to everyone", "GRAPHIQL=false"),
        (settings.introspection, "INTROSPECTION tells everyone the schema", "INTROSPECTION=false"),
        (settings.cors_origins == "*", "CORS_ORIGINS lets every page call the API", "Name the pages' origins."),
        (settings.websocket_origins == "*", "WEBSOCKET_ORIGINS lets every page connect", "Name the pages' origins."),
        (settings.trusted_proxies == "*", "TRUSTED_PROXIES believes whoever connects", "Name the proxies' addresses."),
        (not settings.attempt_limit, "passwords can be tried without a limit", "ATTEMPT_LIMIT=60/minute"),
        (
            counts_alone and bool(settings.rate_limit or settings.attempt_limit),
            "each worker counts its limits by itself",
            "RATE_LIMIT_STORAGE=redis://…, or lower the limits.",
        ),
        (
            bool(settings.rate_limit) and parse_rate(settings.rate_limit).amount < settings.cost_limit,
            "RATE_LIMIT is below COST_LIMIT: what costs more is refused for ever",
            f"RATE_LIMIT={settings.cost_limit}/minute or more, or lower COST_LIMIT.",
        ),
        (settings.metrics_token is None, "nobody can read /metrics", "METRICS_TOKEN=…, 16 characters or more"),
        (settings.log_level == "debug", "LOG_LEVEL=debug tells too much to find anything", "LOG_LEVEL=info"),
    )
    yield from (mind(what, remedy) for is_so, what, remedy in doubts if is_so)


def trusted_documents(settings: Settings) -> Iterator[Finding]:
    """Look at the manifest, which the settings have read."""
    if settings.trusted_documents_file is not None:
        told = "" if settings.trusted_documents is not Trust.OFF else ", which TRUSTED_DOCUMENTS=off leaves unused"
        yield fine(f"trusted documents: {settings.trusted_documents_file}{told}")


def graphiql(settings: Settings) -> Iterator[Finding]:
    """Look at GraphiQL's files."""
    if not settings.graphiql:
        return
    missing = [asset for asset in assets() if not asset.location.is_file()]
    if missing:
        yield mind("GraphiQL is not installed", "make graphiql (needs npm). The API works without it.")
    elif any(not asset.holds(asset.location.read_bytes()) for asset in assets()):
        yield mend("GraphiQL's files are not those that are pinned", "rm -r app/web/graphiql/assets; make graphiql")
    else:
        yield fine("GraphiQL is installed")


def port(settings: Settings) -> Iterator[Finding]:
    """Look whether the port can be listened on."""
    place = f"{settings.host}:{settings.port}"
    failure = why_not_listen(settings.host, settings.port)
    yield fine(f"port: {place} is free") if failure is None else _taken(settings, place, failure)


def _taken(settings: Settings, place: str, failure: OSError) -> Finding:
    if failure.errno == errno.EACCES:
        return mend(f"PORT: {place} is for root ({failure.strerror})", "Choose one from 1024 on: PORT=8000.")
    if failure.errno != errno.EADDRINUSE:
        return mend(f"HOST: cannot listen on {place} ({failure.strerror})", "HOST=127.0.0.1, or 0.0.0.0 for others.")
    if _is_ours(settings):
        return fine(f"port: this API serves on {place} already")
    return mend(f"PORT: another program listens on {place}", f"End it, or choose another: PORT={settings.port + 1}.")


def _is_ours(settings: Settings) -> bool:
    """Tell whether it is this API that listens."""
    try:
        address = ip_address(settings.host)
        host = ("[::1]" if address.version == 6 else "127.0.0.1") if address.is_unspecified else settings.host
        with urlopen(f"http://{host}:{settings.port}/livez", timeout=_PATIENCE_SECONDS) as answer:
            return bool(answer.read(100) == b"alive")
    except (URLError, OSError, ValueError):
        return False


async def redis(settings: Settings) -> Finding:
    """Look at where limits are counted for all processes."""
    url = settings.rate_limit_storage
    if not url:
        return skipped("Redis: RATE_LIMIT_STORAGE is not set, so each process counts by itself")
    from redis.asyncio import Redis
    from redis.exceptions import RedisError

    patience: Any = {"socket_connect_timeout": _PATIENCE_SECONDS, "socket_timeout": _PATIENCE_SECONDS}
    client = Redis.from_url(url.replace("redis+unix", "unix"), **patience)
    try:
        await client.ping()
    except (RedisError, OSError) as failure:
        return mend(f"Redis does not answer: {failure}", "Start it, or mend RATE_LIMIT_STORAGE.")
    finally:
        await client.aclose()
    return fine("Redis answers")


_OF_SETTINGS: tuple[Callable[[Settings], Iterator[Finding]], ...] = (production, trusted_documents, graphiql, port)
