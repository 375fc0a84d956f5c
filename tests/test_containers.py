"""No engine runs the containers here: what can be checked of them without one."""

import re
from typing import Any

import pytest
import yaml

from app.settings import ROOT, Settings

BUILT_IN = {"PATH", "PYTHONUNBUFFERED"}


@pytest.fixture(scope="module")
def compose() -> Any:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


@pytest.fixture(scope="module")
def dockerfile() -> str:
    return (ROOT / "Dockerfile").read_text()


def test_the_services_start_in_their_order(compose: Any) -> None:
    services = compose["services"]
    assert set(services) == {"database", "migrate", "api"}
    assert services["migrate"]["depends_on"] == {"database": {"condition": "service_healthy"}}
    assert services["api"]["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}
    assert "healthcheck" in services["database"]
    assert compose["volumes"].keys() == {volume.split(":")[0] for volume in services["database"]["volumes"]}


@pytest.mark.parametrize("service", ["migrate", "api"])
def test_every_variable_of_a_service_is_a_setting(compose: Any, service: str) -> None:
    variables = compose["services"][service]["environment"]
    assert {name.lower() for name in variables} <= set(Settings.model_fields)


def test_every_variable_of_the_image_is_a_setting(dockerfile: str) -> None:
    (line,) = re.findall(r"^ENV (.*)$", dockerfile, re.MULTILINE)
    names = set(re.findall(r"(\w+)=", line)) - BUILT_IN
    assert {name.lower() for name in names} <= set(Settings.model_fields)


def test_the_api_is_published_on_loopback_only(compose: Any) -> None:
    assert all(port.startswith("127.0.0.1:") for port in compose["services"]["api"]["ports"])


def test_secrets_have_no_default(compose: Any) -> None:
    for service in compose["services"].values():
        for name, value in service.get("environment", {}).items():
            if "SECRET" in name or "PASSWORD" in name:
                assert re.match(r"\$\{\w+:\?", value), name


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
