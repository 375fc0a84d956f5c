"""What an operator can set: environment variables, `.env` and `config/<APP_ENV>.env`, typed and checked."""

import os
import re
from enum import StrEnum
from functools import cache
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Self

import orjson
from dotenv import dotenv_values
from limits import parse as parse_rate
from pydantic import AfterValidator, BeforeValidator, Field, FilePath, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

ROOT = Path(__file__).resolve().parent.parent
EMBEDDED_POSTGRES = ROOT / ".data" / "postgres"
"""Where the data of `make run` are, without a DATABASE_URL."""
_LAST_PORT = 65535
_PARAMETERS = {
    *("host", "port", "user", "password", "passfile", "service", "servicefile", "database"),
    *("ssl", "sslmode", "direct_tls", "target_session_attrs", "krbsrvname", "gsslib", "prepared_statement_cache_size"),
}
"""Those of the driver that are texts; it takes times and sizes as numbers only."""
DEVELOPMENT_SECRET = "development-only-secret-key-never-for-production"  # noqa: S105


class Environment(StrEnum):
    """Where the process runs; selects `config/<name>.env`."""

    DEVELOPMENT = "development"
    QA = "qa"
    PRODUCTION = "production"


class Trust(StrEnum):
    """Which documents are executed, and which may be named by a hash."""

    OFF = "off"
    ALLOW = "allow"
    REQUIRE = "require"


class InvalidSettings(Exception):
    """Settings that cannot be used; each line names a variable and what it expects."""


def asyncpg_url(text: str) -> str:
    """Return the URL as SQLAlchemy and asyncpg take it; providers hand out `postgres://…?sslmode=require`."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):  # the latter of a port that is no number
        url = None
    drivers = ("postgres", "postgresql", "postgresql+asyncpg")
    if url is None or url.drivername not in drivers or (url.port or 0) > _LAST_PORT:
        raise ValueError("not a URL such as postgresql://user:password@host:5432/database")
    if "@" in (url.host or ""):
        raise ValueError("a password that holds @ is written with %40 in a URL")
    if unknown := url.query.keys() - _PARAMETERS:
        raise ValueError(f"the driver takes no parameter {', '.join(sorted(unknown))}: leave it out")
    query = {"ssl" if key == "sslmode" else key: value for key, value in url.query.items()}
    url = url.set(drivername="postgresql+asyncpg", query=query)
    try:
        url.get_dialect()().create_connect_args(url)
    except (ArgumentError, ValueError) as failure:
        raise ValueError(f"its parameters cannot be used: {failure}") from None
    return url.render_as_string(hide_password=False)


def origins(text: str) -> str:
    """Return the origins as they were given, if each is one."""
    for origin in text.split(",") if text else ():
        if not re.fullmatch(r"\*|https?://[^/?#@\s]+", origin.strip()):
            raise ValueError("not an origin such as https://shop.example.com")
    return text


def proxies(text: str) -> str:
    """Return the proxies as they were given, if each is an address or a network."""
    for proxy in text.split(",") if text not in ("", "*") else ():
        try:
            ip_network(proxy.strip())
        except ValueError:
            raise ValueError("not an address such as 10.0.0.5, or a network such as 10.0.0.0/8") from None
    return text


def rate(text: str) -> str:
    """Return the rate as it was given, if it is one."""
    try:
        if text:
            parse_rate(text)
    except ValueError:
        raise ValueError("not a rate such as 100/minute") from None
    return text


def none_if_empty(value: object) -> object:
    """Return None for an empty text, which is how a composition passes on what is not set."""
    return value or None


def web_url(text: str | None) -> str | None:
    """Return the URL as it was given, if it is one."""
    if text is not None and not re.fullmatch(r"https?://[^/?#\s]+[^?#\s]*", text):
        raise ValueError("not a URL such as http://collector:4318")
    return text


def manifest(file: Path) -> Path:
    """Return the file as it was given, if it can be read and is a manifest."""
    try:
        documents = orjson.loads(file.read_bytes())
    except (OSError, orjson.JSONDecodeError) as failure:
        raise ValueError(f"{file} cannot be read ({failure})") from None
    if not (isinstance(documents, dict) and all(isinstance(text, str) for text in documents.values())):
        raise ValueError(f"{file} is not a JSON object of documents by their hashes")
    return file


class Settings(BaseSettings):
    """Every setting, with its default; the variable's name is the field's in capitals."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    app_env: Environment = Field(default=Environment.DEVELOPMENT, description="development, qa or production")
    database_url: Annotated[Annotated[str, AfterValidator(asyncpg_url)] | None, BeforeValidator(none_if_empty)] = Field(
        default=None, description="Postgres 15 or newer; without it development starts an embedded one"
    )
    database_pool_size: int = Field(default=10, ge=1, le=500, description="connections each process keeps open")
    database_pool_wait_seconds: float = Field(
        default=5, gt=0, le=300, description="how long a request waits for a connection"
    )
    database_pool_queue: int = Field(
        default=500, ge=0, le=100_000, description="requests that may wait for a connection; more are OVERLOADED"
    )
    statement_timeout_seconds: float = Field(
        default=10, ge=0.001, le=3600, description="how long a statement may take before Postgres gives it up"
    )
    operation_timeout_seconds: float = Field(
        default=15, gt=0, le=3600, description="how long an operation may take before it is undone and a TIMEOUT"
    )
    database_start_wait_seconds: float = Field(
        default=60, ge=0, le=3600, description="how long the start waits for a database that is still coming up"
    )
    secret_key: SecretStr = Field(
        default=SecretStr(DEVELOPMENT_SECRET), min_length=32, description="signs access tokens; 32 characters or more"
    )
    access_token_minutes: int = Field(default=15, ge=1, le=1440, description="how long an access token is good for")
    refresh_token_days: int = Field(default=30, ge=1, le=365, description="how long a refresh token is good for")
    host: str = Field(default="127.0.0.1", description="the address to listen on")
    port: int = Field(default=8000, ge=0, le=65535, description="the port to listen on")
    workers: int = Field(default=1, ge=1, le=64, description="server processes")
    shutdown_grace_seconds: int = Field(
        default=8, ge=1, le=300, description="how long requests may still take when the server ends"
    )
    body_limit_kb: int = Field(
        default=256, ge=1, le=65_536, description="how large a request or a websocket's message may be, in kB"
    )
    trusted_proxies: Annotated[str, AfterValidator(proxies)] = Field(
        default="", description="proxies whose X-Forwarded-For is believed, separated by commas; * for all"
    )
    cors_origins: Annotated[str, AfterValidator(origins)] = Field(
        default="", description="other origins whose pages may call the API, separated by commas; * for all"
    )
    websocket_origins: Annotated[str, AfterValidator(origins)] = Field(
        default="", description="other origins whose pages may open websockets, separated by commas; * for all"
    )
    websocket_idle_seconds: float = Field(
        default=60, gt=0, le=86_400, description="how long a websocket without any operation stays open"
    )
    operations_per_websocket: int = Field(
        default=100, ge=1, le=10_000, description="operations that one websocket may run at once"
    )
    subscriptions_per_user: int = Field(
        default=200, ge=1, le=100_000, description="subscriptions that one user may have in each process"
    )
    cost_limit: int = Field(default=5_000, ge=1, description="points that one operation may cost, one for each object")
    depth_limit: int = Field(default=12, ge=1, le=100, description="fields within each other in a document")
    root_field_limit: int = Field(default=20, ge=1, description="root fields of an operation")
    alias_limit: int = Field(default=30, ge=0, description="aliases in a document")
    directive_limit: int = Field(default=50, ge=0, description="directives in a document")
    repetition_limit: int = Field(default=20, ge=1, description="how often one selection may have the same field")
    token_limit: int = Field(default=2_000, ge=1, le=100_000, description="tokens of a document")
    validation_error_limit: int = Field(default=5, ge=1, le=100, description="errors told of one document")
    trusted_documents: Trust = Field(
        default=Trust.ALLOW, description="off, allow or require: which documents may be named by a hash, or must be"
    )
    trusted_documents_file: Annotated[
        Annotated[FilePath, AfterValidator(manifest)] | None, BeforeValidator(none_if_empty)
    ] = Field(default=None, description="the manifest of trusted documents: a JSON object of documents by their hashes")
    rate_limit: Annotated[str, AfterValidator(rate)] = Field(
        default="", description="points for each user or address, such as 60000/minute; none without it"
    )
    attempt_limit: Annotated[str, AfterValidator(rate)] = Field(
        default="", description="logIn and signUp for each address, such as 20/minute; none without it"
    )
    rate_limit_storage: Annotated[str, Field(pattern="^((rediss?|redis\\+unix)://.+)?$")] = Field(
        default="", description="redis://host:port/db to count for all processes together; each for itself without it"
    )
    compiled_lane: bool = Field(default=True, description="whether queries that can be are compiled to one statement")
    graphiql: bool = Field(default=True, description="whether GET /graphql opens GraphiQL in a browser")
    introspection: bool = Field(default=True, description="whether clients may ask for the schema")
    metrics_token: Annotated[Annotated[SecretStr, Field(min_length=16)] | None, BeforeValidator(none_if_empty)] = Field(
        default=None,
        description="the bearer token of who reads /metrics, 16 characters or more; only development needs none",
    )
    slow_operation_milliseconds: float = Field(
        default=500, gt=0, le=600_000, description="an operation that takes longer is a warning, with its statements"
    )
    otel_exporter_otlp_endpoint: Annotated[str | None, BeforeValidator(none_if_empty), AfterValidator(web_url)] = Field(
        default=None, description="where traces are sent, over OTLP (http/protobuf); none are made without it"
    )
    log_format: Annotated[str, Field(pattern="^(auto|text|json)$")] = Field(
        default="auto", description="text, json, or auto: json in production, text elsewhere"
    )
    log_level: Annotated[str, Field(pattern="^(debug|info|warning|error)$")] = Field(
        default="info", description="debug, info, warning or error"
    )

    @model_validator(mode="before")
    @classmethod
    def _production_shows_no_more_than_it_must(cls, given: Any) -> Any:
        if given.get("app_env") == Environment.PRODUCTION:
            return {"graphiql": False, "introspection": False, **given}
        return given

    @model_validator(mode="after")
    def _others_than_development_need_their_own(self) -> Self:
        if self.app_env is not Environment.DEVELOPMENT:
            missing = []
            if self.secret_key.get_secret_value() == DEVELOPMENT_SECRET:
                missing.append(f"SECRET_KEY: {self.app_env} needs its own, a random text of 32 characters or more")
            if self.database_url is None:
                missing.append(f"DATABASE_URL: {self.app_env} needs the URL of a Postgres database")
            if missing:
                raise ValueError("\n".join(missing))
        return self

    @model_validator(mode="after")
    def _trust_needs_a_manifest(self) -> Self:
        if self.trusted_documents is Trust.REQUIRE and self.trusted_documents_file is None:
            raise ValueError("TRUSTED_DOCUMENTS_FILE: only documents of the manifest run, so there must be one")
        return self


def load_settings() -> Settings:
    """Read the settings; raise InvalidSettings with a line for each wrong variable."""
    dotenv = ROOT / ".env"
    try:
        environment = os.environ.get("APP_ENV") or dotenv_values(dotenv).get("APP_ENV") or Environment.DEVELOPMENT
        files = (ROOT / "config" / f"{environment}.env", dotenv)
        return Settings(_env_file=files)  # type: ignore[call-arg]  # BaseSettings takes it
    except (OSError, UnicodeDecodeError) as failure:
        raise InvalidSettings(
            f"{dotenv} cannot be read ({failure}): it must be a text in UTF-8, for this user"
        ) from None
    except ValidationError as error:
        raise InvalidSettings("\n".join(_describe(problem) for problem in error.errors())) from None


def _describe(problem: Any) -> str:
    if not problem["loc"]:
        return str(problem["ctx"]["error"])
    name = str(problem["loc"][0])
    message = problem["msg"].removeprefix("Value error, ")
    return f"{name.upper()}: {message} (expected: {Settings.model_fields[name].description})"


@cache
def settings() -> Settings:
    """Return the settings of this process, read once."""
    return load_settings()
