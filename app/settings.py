"""The settings: environment variables, `.env` and `config/<APP_ENV>.env`, typed and validated."""

import os
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import StrEnum
from functools import cache, partial
from ipaddress import ip_address, ip_network
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar
from urllib.parse import urlencode, urlsplit

import orjson
from dotenv import dotenv_values
from limits import parse as parse_rate
from pydantic import AfterValidator, BeforeValidator, Field, FilePath, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

T = TypeVar("T")

ROOT = Path(__file__).resolve().parent.parent
EMBEDDED_POSTGRES = ROOT / ".data" / "postgres"
"""The data of `make run` without a DATABASE_URL."""
_PARAMETERS = {
    *("host", "port", "user", "password", "passfile", "service", "servicefile", "database"),
    *(
        "ssl",
        "sslmode",
        "sslrootcert",
        "sslcert",
        "sslkey",
        "direct_tls",
        "target_session_attrs",
        "krbsrvname",
        "gsslib",
        "prepared_statement_cache_size",
    ),
}
"""Parameters of the driver that are strings; a URL cannot pass the numeric ones."""
_WRITABLE = ("any", "read-write", "primary")
"""What `target_session_attrs` may be: the API looks for the server that takes writes by itself."""
_PLACE = re.compile(r"(?P<host>\[.*\]|[^:]*)(:(?P<port>.*))?", re.DOTALL)
RENAMED = {"COMPILED_LANE": "COMPILED_PATH"}
"""Names of settings in earlier versions, which have no effect any more."""
_RULES = {
    "int_parsing": "must be an integer",
    "int_parsing_size": "is too large",
    "float_parsing": "must be a number",
    "bool_parsing": "must be true or false",
    "enum": "must be {expected}",
    "literal_error": "must be {expected}",
    "greater_than": "must be more than {gt:.9g}",
    "greater_than_equal": "must be at least {ge:.9g}",
    "less_than_equal": "must be at most {le:.9g}",
    "too_short": "must have at least {min_length} characters",
    "path_not_file": "must be the path of a file",
}
"""Messages for the kinds of errors that pydantic reports about settings."""
_SECRET_CHARACTERS = 32
_DIFFERENT_CHARACTERS = 8
DEVELOPMENT_SECRET = "development-only-secret-key-never-for-production"  # noqa: S105


class Environment(StrEnum):
    """The environment of the process; selects `config/<name>.env`."""

    DEVELOPMENT = "development"
    QA = "qa"
    PRODUCTION = "production"


class Trust(StrEnum):
    """Which documents run, and whether clients may send hashes of documents."""

    OFF = "off"
    ALLOW = "allow"
    REQUIRE = "require"


class InvalidSettings(Exception):
    """Invalid settings; each line names a variable and what it expects."""


def asyncpg_url(text: str) -> str:
    """Convert a URL to the form of SQLAlchemy and asyncpg; providers issue `postgres://…?sslmode=require`."""
    try:
        url = make_url(_with_hosts_as_parameters(text))
    except (ArgumentError, ValueError):  # ValueError if the port isn't a number
        url = None
    drivers = ("postgres", "postgresql", "postgresql+asyncpg")
    if url is None or url.drivername not in drivers or (url.port or 0) > 65535:
        raise ValueError("must be a URL such as postgresql://user:password@host:5432/database")
    if "@" in (url.host or ""):
        raise ValueError("write an @ in the password as %40")
    if unknown := url.query.keys() - _PARAMETERS:
        raise ValueError(f"the driver does not support {', '.join(sorted(unknown))}: leave it out")
    if url.query.get("target_session_attrs", "read-write") not in _WRITABLE:
        raise ValueError("target_session_attrs must be read-write: the API writes")
    query = {"ssl" if key == "sslmode" else key: value for key, value in url.query.items()}
    url = url.set(drivername="postgresql+asyncpg", query=query)
    try:
        url.get_dialect()().create_connect_args(url)
    except (ArgumentError, ValueError) as failure:
        raise ValueError(f"invalid parameters: {failure}") from None
    return url.render_as_string(hide_password=False)


def _replica_urls(text: str) -> str:
    """Convert the URLs of replicas, of which each leads to one address."""
    urls = [asyncpg_url(url) for url in text.split()]
    if any("," in str(make_url(url).query.get("host", "")) for url in urls):
        raise ValueError("each URL has one host: separate the URLs of several replicas by spaces")
    return " ".join(urls)


def _with_hosts_as_parameters(text: str) -> str:
    """Rewrite the form of libpq, `//ann@a:1,b:2/shop`, into that of SQLAlchemy: `//ann@/shop?host=a,b&port=1,2`."""
    parts = urlsplit(text)
    login, at, places = parts.netloc.rpartition("@")
    if "," not in places:
        return text
    pairs = [_PLACE.fullmatch(place) for place in places.split(",")]
    hosts, ports = zip(*((pair["host"].strip("[]"), pair["port"] or "5432") for pair in pairs if pair), strict=True)
    query = urlencode({"host": ",".join(hosts), "port": ",".join(ports)})
    return f"{parts.scheme}://{login}{at}{parts.path}?{'&'.join(filter(None, (query, parts.query)))}"


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine, as only this machine reaches it."""
    with suppress(ValueError):
        return host == "localhost" or ip_address(host).is_loopback
    return False


def _is_local(database_url: str | None) -> bool:
    """Return whether a database is embedded, or its URL leads to sockets or loopback addresses only. If the URL has no
    host, the driver takes it from PGHOST."""
    if database_url is None:
        return True
    url = make_url(database_url)
    given = url.query.get("host", ())
    hosts = [url.host, *([given] if isinstance(given, str) else given)]
    named = [name for host in hosts if host for name in host.split(",")] or os.environ.get("PGHOST", "/").split(",")
    are_here = (name.startswith("/") or is_loopback(name) or is_loopback(name.rpartition(":")[0]) for name in named)
    return "service" not in url.query and all(are_here)


def checked(check: Callable[[str], object], expected: str) -> AfterValidator:
    """Return a validator of a text; an empty one is always valid."""

    def validate(text: str) -> str:
        with suppress(ValueError):
            if not text or check(text):
                return text
        raise ValueError(f"must be {expected}")

    return AfterValidator(validate)


def _are_origins(text: str) -> bool:
    return all(re.fullmatch(r"\*|https?://[^/?#@\s]+", part.strip()) for part in text.split(","))


def _are_proxies(text: str) -> bool:
    return text == "*" or all(ip_network(part.strip()) for part in text.split(","))


def _parts_of(secrets: SecretStr) -> tuple[str, ...]:
    return tuple(secret.strip() for secret in secrets.get_secret_value().split(","))


def _are_secret(secrets: SecretStr) -> SecretStr:
    if any(len(secret) < _SECRET_CHARACTERS for secret in _parts_of(secrets)):
        raise ValueError(f"each secret must have {_SECRET_CHARACTERS} characters or more")
    if any(len(set(secret)) < _DIFFERENT_CHARACTERS for secret in _parts_of(secrets)):
        raise ValueError(f"each secret must have {_DIFFERENT_CHARACTERS} different characters or more")
    return secrets


_is_url = partial(re.fullmatch, r"https?://[^/?#\s]+[^?#\s]*")
_is_redis = partial(re.fullmatch, r"(rediss?|redis\+unix)://.+")
Origins = Annotated[str, checked(_are_origins, "an origin such as https://shop.example.com")]
Proxies = Annotated[str, checked(_are_proxies, "an address such as 10.0.0.5, or a network such as 10.0.0.0/8")]
Rate = Annotated[str, checked(parse_rate, "a rate such as 100/minute")]
Redis = Annotated[str, checked(_is_redis, "a URL such as redis://host:6379/0")]
Url = Annotated[str, checked(_is_url, "a URL such as http://collector:4318")]

OR_NONE = BeforeValidator(lambda value: value or None)
"""Takes an empty string, which Docker Compose passes for unset variables, as None."""


def manifest(file: Path) -> Path:
    """Validate a manifest of trusted documents."""
    try:
        documents = orjson.loads(file.read_bytes())
    except (OSError, orjson.JSONDecodeError) as failure:
        raise ValueError(f"cannot read {file} ({failure})") from None
    if not (isinstance(documents, dict) and all(isinstance(text, str) for text in documents.values())):
        raise ValueError(f"{file} is not a JSON object that maps hashes to documents")
    return file


def _setting(default: T, description: str, **limits: Any) -> T:
    field: T = Field(default=default, description=description, **limits)
    return field


class Settings(BaseSettings):
    """Every setting with its default. A variable has the name of its field in capitals."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    app_env: Environment = _setting(Environment.DEVELOPMENT, "development, qa or production")
    database_url: Annotated[Annotated[str, AfterValidator(asyncpg_url)] | None, OR_NONE] = _setting(
        None,
        "URL of Postgres 15 or newer, which may name several servers; without it, development starts an embedded one",
    )
    database_direct_url: Annotated[Annotated[str, AfterValidator(asyncpg_url)] | None, OR_NONE] = _setting(
        None, "URL past the pooler in `DATABASE_URL`, for events and migrations; by default, there is no pooler"
    )
    database_replica_urls: Annotated[str, AfterValidator(_replica_urls)] = _setting(
        "", "URLs of replicas that answer queries, separated by spaces; by default, the primary answers all"
    )
    database_replica_lag_seconds: float = _setting(
        5, "How far a replica may lag behind; if it lags more, the primary answers", ge=0.5, le=300
    )
    database_pool_size: int = _setting(10, "Database connections per process", ge=1, le=500)
    database_pool_expensive: int = _setting(
        2, "Database connections of a process that expensive operations may hold together", ge=1, le=500
    )
    database_pool_wait_seconds: float = _setting(5, "How long a request waits for a database connection", gt=0, le=300)
    database_pool_queue: int = _setting(
        500, "Requests that may wait for a connection; more fail as OVERLOADED", ge=0, le=100_000
    )
    statement_timeout_seconds: float = _setting(10, "How long Postgres may run one statement", ge=0.001, le=3600)
    operation_timeout_seconds: float = _setting(
        15, "How long an operation may take before it is rolled back and fails as TIMEOUT", gt=0, le=3600
    )
    database_start_wait_seconds: float = _setting(
        60, "How long to wait at start-up for the database to answer", ge=0, le=3600
    )
    events_retention_days: int = _setting(14, "How many days events are kept", ge=1, le=3_650)
    audit_retention_days: Annotated[Annotated[int, Field(ge=1, le=36_500)] | None, OR_NONE] = _setting(
        None, "How many days audit entries are kept; by default, forever"
    )
    secret_key: Annotated[SecretStr, AfterValidator(_are_secret)] = _setting(
        SecretStr(DEVELOPMENT_SECRET),
        "Random secrets of 32 characters or more, separated by commas: the first signs access tokens, all verify them",
    )
    access_token_minutes: int = _setting(15, "Lifetime of an access token", ge=1, le=1440)
    refresh_token_days: int = _setting(30, "Lifetime of a refresh token", ge=1, le=365)
    host: str = _setting("127.0.0.1", "Address to listen on")
    port: int = _setting(8000, "Port to listen on", ge=0, le=65535)
    workers: int = _setting(1, "Number of server processes", ge=1, le=64)
    max_instances: int = _setting(
        1, "How many instances of the server an autoscaler may run; doctor counts their database connections", ge=1
    )
    shutdown_grace_seconds: int = _setting(
        8, "How long open requests may take after the server is asked to stop", ge=1, le=300
    )
    shutdown_drain_seconds: float = _setting(
        0, "How long the server goes on serving after it is asked to stop, while `/readyz` says 503", ge=0, le=300
    )
    body_limit_kb: int = _setting(256, "Largest request body or WebSocket message, in kB", ge=1, le=65_536)
    request_timeout_seconds: float = _setting(
        30, "How long a request may take to arrive, and to start once its client has connected", gt=0, le=3600
    )
    response_timeout_seconds: float = _setting(
        30, "How long a client may take to read a response, or the next megabyte of it", gt=0, le=3600
    )
    connections_per_process: int = _setting(5_000, "Open connections per process", ge=2, le=1_000_000)
    connections_per_user: int = _setting(100, "Open connections per user and process", ge=1, le=1_000_000)
    connections_per_address: int = _setting(
        100, "Open connections without a login per address and process", ge=1, le=1_000_000
    )
    idempotent_response_limit_kb: int = _setting(
        1_024, "Largest response to a mutation with an idempotency key, in kB", ge=1, le=65_536
    )
    trusted_proxies: Proxies = _setting(
        "", "Proxies whose X-Forwarded-For is trusted, separated by commas; * trusts all"
    )
    cors_origins: Origins = _setting(
        "", "Other origins whose pages may call the API, separated by commas; * allows all"
    )
    websocket_origins: Origins = _setting(
        "", "Other origins whose pages may open WebSockets, separated by commas; * allows all"
    )
    websocket_idle_seconds: float = _setting(60, "How long a WebSocket without operations stays open", gt=0, le=86_400)
    operations_per_websocket: int = _setting(100, "Concurrent operations per WebSocket", ge=1, le=10_000)
    subscriptions_per_user: int = _setting(200, "Concurrent subscriptions per user and process", ge=1, le=100_000)
    subscriptions_per_address: int = _setting(
        100, "Concurrent subscriptions without a login per address and process", ge=1, le=100_000
    )
    anonymous_subscriptions: int = _setting(
        5_000, "Concurrent subscriptions without a login per process", ge=1, le=1_000_000
    )
    cost_limit: int = _setting(5_000, "Points that one operation may cost; each object costs one", ge=1)
    payload_cost_limit: int = _setting(
        1_000, "Points that the results of an operation's mutations may cost, which are read while others wait", ge=1
    )
    value_limit: int = _setting(
        20_000, "Values that an operation may return where it isn't compiled; others wait 5 µs for each", ge=1
    )
    response_limit_mb: int = _setting(10, "Largest response, in MB", ge=1, le=1_000)
    subscription_cost_limit: int = _setting(
        1_000, "Points that a subscription may cost; each event costs them again", ge=1
    )
    depth_limit: int = _setting(12, "Levels of nested fields in a document", ge=1, le=100)
    root_field_limit: int = _setting(20, "Root fields per operation", ge=1)
    alias_limit: int = _setting(30, "Aliases per document", ge=0)
    directive_limit: int = _setting(50, "Directives per document", ge=0)
    repetition_limit: int = _setting(20, "Times that a selection may repeat the same field", ge=1)
    token_limit: int = _setting(2_000, "Tokens per document", ge=1, le=100_000)
    validation_error_limit: int = _setting(
        5, "Validation errors reported per document, and in its variables", ge=1, le=100
    )
    trusted_documents: Trust = _setting(
        Trust.ALLOW, "off, allow or require: whether clients may, or must, send the hash of a known document"
    )
    trusted_documents_file: Annotated[Annotated[FilePath, AfterValidator(manifest)] | None, OR_NONE] = _setting(
        None, "Manifest of trusted documents: a JSON object that maps hashes to documents"
    )
    rate_limit: Rate = _setting("", "Points per user or anonymous address, such as 200000/minute; unlimited by default")
    attempt_limit: Rate = _setting(
        "60/minute", "Attempts per address to log in, sign up, use a refresh token, or change an email or password"
    )
    account_attempt_limit: Rate = _setting(
        "100/hour", "Attempts to log in to one account from addresses that its user hasn't lately logged in from"
    )
    rate_limit_storage: Redis = _setting(
        "", "redis://host:port/db that counts for all processes; without it, each counts separately"
    )
    compiled_path: bool = _setting(True, "Whether queries are compiled to one statement where possible")
    graphiql: bool = _setting(True, "Whether GET /graphql opens GraphiQL in a browser")
    introspection: bool = _setting(True, "Whether clients may query the schema")
    metrics_token: Annotated[Annotated[SecretStr, Field(min_length=16)] | None, OR_NONE] = _setting(
        None, "Bearer token required to read /metrics, 16 characters or more; optional in development"
    )
    slow_operation_milliseconds: float = _setting(
        500, "Operations that take longer are logged as warnings, with their statements", gt=0, le=600_000
    )
    otel_exporter_otlp_endpoint: Annotated[Url | None, OR_NONE] = _setting(
        None, "Where to send traces, over OTLP (http/protobuf); disabled by default"
    )
    log_format: Literal["auto", "text", "json"] = _setting(
        "auto", "text, json or auto: json in production, text elsewhere"
    )
    log_level: Literal["debug", "info", "warning", "error"] = _setting("info", "debug, info, warning or error")

    @property
    def direct_url(self) -> str | None:
        """The URL for what needs a session: events and migrations."""
        return self.database_direct_url or self.database_url

    @property
    def replica_urls(self) -> Sequence[str]:
        """The URLs of the replicas."""
        return self.database_replica_urls.split()

    def variable_of(self, url: str) -> str:
        """Return the name of the setting that has this URL."""
        return "DATABASE_URL" if url == self.database_url else "DATABASE_DIRECT_URL"

    @property
    def response_limit(self) -> int:
        """The most bytes that a response may have."""
        return self.response_limit_mb * 1024 * 1024

    @property
    def secret_keys(self) -> tuple[str, ...]:
        """The secrets of `secret_key`; what the first one signs or encrypts, each of them can read."""
        return _parts_of(self.secret_key)

    def why_secret(self, host: str | None = None) -> str | None:
        """Return that and why SECRET_KEY must be set; None if it is, or needn't be. `host` replaces HOST."""
        if DEVELOPMENT_SECRET not in self.secret_keys:
            return None
        is_development = self.app_env is Environment.DEVELOPMENT
        reason = self.why_public(host) if is_development else f"APP_ENV is {self.app_env}"
        must = f"must be a random secret of {_SECRET_CHARACTERS} characters or more"
        return reason and f"SECRET_KEY: {must}, because {reason} (the default is public)"

    def why_public(self, host: str | None = None) -> str | None:
        """Return why others than this machine reach the API or its database, whatever APP_ENV says; None if they can't.
        `host` replaces HOST."""
        host = self.host if host is None else host
        if not is_loopback(host):
            return f"other machines reach {host or 'every address'}"
        if not (_is_local(self.database_url) and _is_local(self.direct_url)):
            return "the database is on another machine"
        return "TRUSTED_PROXIES names a proxy" if self.trusted_proxies else None

    @model_validator(mode="before")
    @classmethod
    def _hide_details_in_production(cls, given: Any) -> Any:
        if given.get("app_env") == Environment.PRODUCTION:
            return {"graphiql": False, "introspection": False, **given}
        return given

    @model_validator(mode="after")
    def _require_what_others_need(self) -> Self:
        missing = []
        if message := self.why_secret():
            missing.append(message)
        if self.app_env is not Environment.DEVELOPMENT and self.database_url is None:
            missing.append(f"DATABASE_URL: {self.app_env} requires the URL of a Postgres database")
        if self.database_direct_url is not None and self.database_url is None:
            missing.append("DATABASE_DIRECT_URL: set DATABASE_URL, too, to the URL of the pooler")
        if self.trusted_documents is Trust.REQUIRE and self.trusted_documents_file is None:
            missing.append("TRUSTED_DOCUMENTS_FILE: TRUSTED_DOCUMENTS=require needs a manifest")
        if missing:
            raise ValueError("\n".join(missing))
        return self


def load_settings() -> Settings:
    """Read the settings; InvalidSettings has a line for each invalid variable."""
    try:
        return Settings(_env_file=_files())  # type: ignore[call-arg]  # BaseSettings takes it
    except (OSError, UnicodeDecodeError) as failure:
        raise InvalidSettings(f"cannot read {ROOT / '.env'} ({failure}): it must be readable UTF-8 text") from None
    except ValidationError as error:
        raise InvalidSettings("\n".join(_describe(problem) for problem in error.errors())) from None


def renamed_settings() -> dict[str, str]:
    """Return the old names that are still set, and thus ignored, with their new names."""
    found = {name.upper() for name in chain(os.environ, *map(dotenv_values, _files()))}
    return {old: new for old, new in RENAMED.items() if old in found}


def _files() -> tuple[Path, Path]:
    """Return the files with settings; the second takes precedence."""
    dotenv = ROOT / ".env"
    environment = os.environ.get("APP_ENV") or dotenv_values(dotenv).get("APP_ENV") or Environment.DEVELOPMENT
    return ROOT / "config" / f"{environment}.env", dotenv


def _describe(problem: Any) -> str:
    if not problem["loc"]:
        return str(problem["ctx"]["error"])
    name = str(problem["loc"][0])
    rule = _RULES.get(problem["type"])
    message = rule.format(**problem.get("ctx", {})) if rule else problem["msg"].removeprefix("Value error, ")
    return f"{name.upper()}: {message} ({Settings.model_fields[name].description})"


@cache
def settings() -> Settings:
    """Return the settings of this process, read once."""
    return load_settings()
