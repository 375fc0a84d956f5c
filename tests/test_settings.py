"""Settings come from the environment and from files; each invalid one is reported in one line."""

import re
from pathlib import Path

import pytest
from sqlalchemy import make_url

from app import settings as module
from app.db.servers import Servers
from app.settings import (
    DEVELOPMENT_SECRET,
    Environment,
    InvalidSettings,
    Settings,
    asyncpg_url,
    load_settings,
    renamed_settings,
)

GOOD_SECRET = "a-secret-of-more-than-32-characters-for-tests"
DATABASE = "postgresql://orders:secret@db.example.com/orders"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No setting from outside; files are looked for in an empty folder, which is returned."""
    for name in (*Settings.model_fields, "app_env"):
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    (tmp_path / "config").mkdir()
    return tmp_path


def test_development_needs_no_setting() -> None:
    settings = load_settings()
    assert settings.app_env is Environment.DEVELOPMENT
    assert settings.database_url is None
    assert settings.host == "127.0.0.1"


def test_the_environment_wins_over_dotenv_and_dotenv_over_the_file_of_the_environment(
    clean_environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (clean_environment / "config" / "qa.env").write_text("WORKERS=2\nPORT=2222\nLOG_LEVEL=debug\n")
    (clean_environment / ".env").write_text(f"PORT=3333\nLOG_LEVEL=error\nSECRET_KEY={GOOD_SECRET}\n")
    monkeypatch.setenv("APP_ENV", "qa")
    monkeypatch.setenv("LOG_LEVEL", "warning")
    monkeypatch.setenv("DATABASE_URL", DATABASE)

    settings = load_settings()

    assert (settings.workers, settings.port, settings.log_level) == (2, 3333, "warning")


def test_app_env_may_stand_in_dotenv(clean_environment: Path) -> None:
    (clean_environment / "config" / "qa.env").write_text("WORKERS=7\n")
    (clean_environment / ".env").write_text(f"APP_ENV=qa\nSECRET_KEY={GOOD_SECRET}\nDATABASE_URL={DATABASE}\n")
    settings = load_settings()
    assert (settings.app_env, settings.workers) == (Environment.QA, 7)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("PORT", "http", "must be an integer (Port to listen on)"),
        ("PORT", "8" * 5000, "is too large (Port to listen on)"),
        ("PORT", "70000", "must be at most 65535 (Port to listen on)"),
        ("WORKERS", "0", "must be at least 1 (Number of server processes)"),
        ("STATEMENT_TIMEOUT_SECONDS", "soon", "must be a number ("),
        ("DATABASE_POOL_WAIT_SECONDS", "0", "must be more than 0 ("),
        ("DATABASE_POOL_WAIT_SECONDS", "inf", "must be at most 300 ("),
        ("LOG_LEVEL", "loud", "must be 'debug', 'info', 'warning' or 'error' ("),
        ("APP_ENV", "prod", "must be 'development', 'qa' or 'production' ("),
        ("DATABASE_URL", "mysql://root@localhost/orders", "postgresql://"),
        ("DATABASE_URL", "nonsense", "postgresql://"),
        ("DATABASE_URL", "postgresql://db:port/orders", "postgresql://"),
        ("DATABASE_URL", "postgresql://db:70000/orders", "postgresql://"),
        ("DATABASE_URL", "postgresql://db/orders?channel_binding=require", "channel_binding: leave it out"),
        ("DATABASE_URL", "postgresql://ann:hunt@er2@db/orders", "%40"),
        ("DATABASE_URL", "postgresql://ann:hunter2@db/orders?command_timeout=5", "command_timeout: leave it out"),
        ("DATABASE_URL", "postgresql://ann:hunter2@db/orders?port=x", "invalid parameters"),
        ("DATABASE_URL", "postgresql://ann:hunter2@/orders?host=a&host=b:1", "invalid parameters"),
        ("DATABASE_URL", "postgresql://ann:hunter2@db/orders?prepared_statement_cache_size=x", "invalid parameters"),
        ("DATABASE_URL", "postgresql://ann@a:5432,b:x/orders", "invalid parameters"),
        ("DATABASE_URL", "postgresql://ann@a:5432,/orders", "invalid parameters"),
        ("DATABASE_URL", "postgresql://ann@a,b/orders?target_session_attrs=standby", "must be read-write"),
        ("TRUSTED_DOCUMENTS_FILE", __file__, "cannot read"),
        ("TRUSTED_DOCUMENTS_FILE", "/dev/null/none", "must be the path of a file (Manifest"),
        ("SECRET_KEY", "short", "each secret must have 32 characters or more ("),
        ("SECRET_KEY", f"{GOOD_SECRET},short", "32 characters"),
        ("SECRET_KEY", f"{GOOD_SECRET},", "32 characters"),
        ("SECRET_KEY", " " * 40, "32 characters"),
        ("SECRET_KEY", f"{GOOD_SECRET[:31]} ", "32 characters"),
        ("SECRET_KEY", "x" * 40, "each secret must have 8 different characters or more ("),
        ("SECRET_KEY", f"{GOOD_SECRET},{'abcdefg' * 5}", "8 different characters"),
        ("GRAPHIQL", "maybe", "must be true or false (Whether GET /graphql opens GraphiQL"),
        ("RATE_LIMIT_STORAGE", "http://cache", "must be a URL such as redis://"),
        ("CORS_ORIGINS", "shop.example.com", "must be an origin such as https://shop.example.com (Other origins"),
        ("TRUSTED_PROXIES", "10.0.0.0/8, proxy", "10.0.0.5"),
        ("BODY_LIMIT_KB", "0", "Largest request body"),
        ("METRICS_TOKEN", "short", "16 characters"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318", "http://collector:4318"),
        ("LOG_FORMAT", "xml", "text, json"),
    ],
)
def test_a_wrong_value_is_one_line_that_names_the_variable_and_what_it_expects(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidSettings) as caught:
        load_settings()
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"{name}: ")
    assert expected in line
    assert "er2" not in line


@pytest.mark.parametrize("name", Settings.model_fields)
@pytest.mark.parametrize("value", ["?", "-1", "1e99", "9" * 200, "nan"])
def test_no_message_is_in_the_words_of_a_library(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name.upper(), value)
    lines: list[str] = []
    try:
        load_settings()
    except InvalidSettings as invalid:
        lines = str(invalid).splitlines()
    assert all(re.match(r"[A-Z_]+: (?:must|each secret must) .+ \(.+\)$", line) for line in lines)


@pytest.mark.parametrize("content", ["[]", '{"hash": 1}'])
def test_a_manifest_must_be_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str) -> None:
    file = tmp_path / "manifest.json"
    file.write_text(content)
    monkeypatch.setenv("TRUSTED_DOCUMENTS_FILE", str(file))
    with pytest.raises(InvalidSettings, match=r"^TRUSTED_DOCUMENTS_FILE: .* is not a JSON object that maps"):
        load_settings()


def test_a_dotenv_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"LOG_LEVEL=\xff")
    with pytest.raises(InvalidSettings) as caught:
        load_settings()
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"cannot read {tmp_path / '.env'} (")


@pytest.mark.parametrize(
    "name", ["DATABASE_URL", "METRICS_TOKEN", "OTEL_EXPORTER_OTLP_ENDPOINT", "TRUSTED_DOCUMENTS_FILE"]
)
def test_what_a_composition_leaves_empty_is_not_set(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "")
    assert getattr(load_settings(), name.lower()) is None


@pytest.mark.parametrize("place", ["environment", "file"])
def test_an_old_name_is_found_wherever_it_is_set(
    clean_environment: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    assert renamed_settings() == {}
    if place == "environment":
        monkeypatch.setenv("compiled_lane", "false")
    else:
        (clean_environment / ".env").write_text("COMPILED_LANE=false\n")
    assert renamed_settings() == {"COMPILED_LANE": "COMPILED_PATH"}
    assert load_settings().compiled_path


def test_every_wrong_value_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "x")
    monkeypatch.setenv("WORKERS", "x")
    with pytest.raises(InvalidSettings) as caught:
        load_settings()
    assert [line.split(":")[0] for line in str(caught.value).splitlines()] == ["PORT", "WORKERS"]


@pytest.mark.parametrize("environment", ["qa", "production"])
@pytest.mark.parametrize("secret", [None, DEVELOPMENT_SECRET, f"{GOOD_SECRET},{DEVELOPMENT_SECRET}"])
def test_nothing_but_development_runs_without_a_secret_key_of_its_own(
    monkeypatch: pytest.MonkeyPatch, environment: str, secret: str | None
) -> None:
    monkeypatch.setenv("APP_ENV", environment)
    monkeypatch.setenv("DATABASE_URL", DATABASE)
    if secret is not None:
        monkeypatch.setenv("SECRET_KEY", secret)
    with pytest.raises(InvalidSettings, match=r"^SECRET_KEY: "):
        load_settings()


def test_a_secret_key_is_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    new, old = "new-secret" * 4, "old-secret" * 4
    for text, secrets in (
        (f" {old}\n", (old,)),
        (f"{new},{old}", (new, old)),
        (f"\t{new} , {old}\n", (new, old)),
        (f"{old}\n,{new}", (old, new)),
    ):
        monkeypatch.setenv("SECRET_KEY", text)
        assert load_settings().secret_keys == secrets


def test_production_needs_a_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_ENV", "production")
    monkeypatch.setenv("SECRET_KEY", GOOD_SECRET)
    with pytest.raises(InvalidSettings, match=r"^DATABASE_URL: "):
        load_settings()


@pytest.mark.parametrize("url", [None, ""])
def test_all_that_production_lacks_is_told_at_once(monkeypatch: pytest.MonkeyPatch, url: str | None) -> None:
    monkeypatch.setenv("APP_ENV", "production")
    if url is not None:
        monkeypatch.setenv("DATABASE_URL", url)
    with pytest.raises(InvalidSettings) as caught:
        load_settings()
    assert [line.split(":")[0] for line in str(caught.value).splitlines()] == ["SECRET_KEY", "DATABASE_URL"]


def test_an_empty_environment_is_not_taken_for_development(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_ENV", "")
    with pytest.raises(InvalidSettings, match=r"^APP_ENV: "):
        load_settings()


def test_production_is_locked_unless_it_is_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", DATABASE)
    monkeypatch.setenv("SECRET_KEY", GOOD_SECRET)
    shown = {}
    for environment in Environment:
        monkeypatch.setenv("APP_ENV", environment)
        settings = load_settings()
        shown[environment] = (settings.graphiql, settings.introspection)
    assert shown == {"development": (True, True), "qa": (True, True), "production": (False, False)}

    monkeypatch.setenv("INTROSPECTION", "true")
    settings = load_settings()
    assert (settings.graphiql, settings.introspection) == (False, True)


def test_a_refusal_shows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "hunter2")
    with pytest.raises(InvalidSettings) as caught:
        load_settings()
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("postgres://u:p@h/d", "postgresql+asyncpg://u:p@h/d"),
        ("postgresql://u:p%40@h:5433/d?sslmode=require", "postgresql+asyncpg://u:p%40@h:5433/d?ssl=require"),
        ("postgresql:///d?host=/var/run/my sockets", "postgresql+asyncpg:///d?host=%2Fvar%2Frun%2Fmy+sockets"),
    ],
)
def test_the_urls_that_providers_hand_out_are_understood(
    monkeypatch: pytest.MonkeyPatch, given: str, used: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", given)
    monkeypatch.setenv("SECRET_KEY", GOOD_SECRET)
    assert load_settings().database_url == used


@pytest.mark.parametrize("environment", list(Environment))
def test_the_files_that_ship_hold_nothing_but_settings(environment: Environment) -> None:
    shipped = Path(module.__file__).parent.parent / "config" / f"{environment}.env"
    names = {line.split("=")[0].lower() for line in shipped.read_text().splitlines() if line and line[0] != "#"}
    assert names <= set(Settings.model_fields)


def test_every_setting_is_described() -> None:
    assert all(field.description for field in Settings.model_fields.values())


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("HOST", "0.0.0.0", "other machines reach 0.0.0.0"),
        ("HOST", "::", "other machines reach ::"),
        ("HOST", "192.0.2.1", "other machines reach 192.0.2.1"),
        ("HOST", "shop.example.com", "other machines reach shop.example.com"),
        ("HOST", "", "other machines reach every address"),
        ("DATABASE_URL", DATABASE, "the database is on another machine"),
        ("DATABASE_URL", "postgresql://u@192.0.2.1/d", "the database is on another machine"),
        ("DATABASE_URL", "postgresql://u@/d?host=localhost:1&host=db:2", "the database is on another machine"),
        ("DATABASE_URL", "postgresql:///d?service=shop", "the database is on another machine"),
        ("TRUSTED_PROXIES", "127.0.0.1", "TRUSTED_PROXIES names a proxy"),
    ],
)
def test_the_development_secret_is_refused_where_others_reach_the_api(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, reason: str
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(InvalidSettings) as caught:
        load_settings()

    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"SECRET_KEY: must be a random secret of 32 characters or more, because {reason} (")
    monkeypatch.setenv("SECRET_KEY", GOOD_SECRET)
    assert load_settings().why_public() == reason


@pytest.mark.parametrize("pghost", ["", "/var/run/postgresql", "localhost"])
@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", None),
        ("::1", "postgresql://u@localhost/d"),
        ("localhost", "postgresql://u@127.0.0.2:5433/d"),
        ("127.0.0.1", "postgresql://u@[::1]:5433/d"),
        ("127.0.0.1", "postgresql:///d"),
        ("127.0.0.1", "postgresql:///d?host=/var/run/postgresql"),
        ("127.0.0.1", "postgresql://u@/d?host=localhost:1&host=127.0.0.1:2"),
    ],
)
def test_on_this_machine_alone_nothing_needs_a_secret(
    monkeypatch: pytest.MonkeyPatch, host: str, url: str | None, pghost: str
) -> None:
    monkeypatch.setenv("HOST", host)
    if url is not None:
        monkeypatch.setenv("DATABASE_URL", url)
    if pghost:
        monkeypatch.setenv("PGHOST", pghost)

    assert load_settings().why_public() is None


def test_a_database_whose_host_comes_from_the_drivers_variable_may_be_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql:///d")
    monkeypatch.setenv("PGHOST", "db.example.com")

    with pytest.raises(InvalidSettings, match="the database is on another machine"):
        load_settings()


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ("a:5432,b:5433", [("a", 5432), ("b", 5433)]),
        ("a,b:1", [("a", 5432), ("b", 1)]),
        ("[::1]:7,b", [("::1", 7), ("b", 5432)]),
        ("a", [("a", None)]),
        ("[::1]:7", [("::1", 7)]),
    ],
)
def test_a_url_may_name_several_servers(places: str, expected: list[tuple[str, int | None]]) -> None:
    query = "target_session_attrs=read-write&sslmode=verify-full&sslrootcert=/etc/ca.crt"
    url = make_url(asyncpg_url(f"postgresql://ann:p%2C%40w@{places}/orders?{query}"))
    assert Servers.of(url).names == expected
    assert (url.username, url.password, url.database) == ("ann", "p,@w", "orders")
