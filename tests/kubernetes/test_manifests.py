"""Each name, port, setting, command and secret in the manifests is one that exists."""

import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import Mock
from urllib.parse import urlsplit

import pytest
import yaml
from fastapi.routing import APIRoute
from pydantic import SecretStr
from typer.main import get_command

from app.cli.commands import cli
from app.cli.database_checks import BESIDE_THE_POOL
from app.events.log import Events
from app.main import GRAPHQL_PATH
from app.process.probes import probes
from app.process.readiness import Readiness
from app.settings import ROOT, Settings

MANIFESTS = ROOT / "deploy" / "kubernetes"
VALIDATOR = ROOT / ".data" / "kubernetes" / "bin" / "kubernetes-validate"
BY_HAND = {"orders-api": {"SECRET_KEY", "METRICS_TOKEN"}, "orders-api-role": {"username", "password"}}
"""The secrets that docs/operations.md has the operator make."""
OF_THE_OPERATOR = {"orders-db-app": {"uri", "username", "password"}}
HARD_LIMIT = 60
RESERVED = 10
"""Connections of Postgres for superusers, and for the operator and the standbys."""


@pytest.fixture(scope="module")
def rendered() -> str:
    """What `kubectl apply -k` would send for the example."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not installed")
    version = subprocess.run([kubectl, "version", "--client"], capture_output=True, text=True, check=True).stdout
    if "Kustomize Version: v5" not in version:
        pytest.skip("kubectl is older than 1.27, and its Kustomize older than 5")
    command = [kubectl, "kustomize", str(MANIFESTS / "example")]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def objects(rendered: str) -> list[Any]:
    return list(yaml.safe_load_all(rendered))


def of_kind(objects: Sequence[Any], kind: str) -> list[Any]:
    return [each for each in objects if each["kind"] == kind]


def the_one(objects: Sequence[Any], kind: str) -> Any:
    (found,) = of_kind(objects, kind)
    return found


def pods(objects: Sequence[Any]) -> Iterator[Any]:
    """Yield the specification of each kind of pod."""
    for each in objects:
        match each["kind"]:
            case "Deployment" | "Job":
                yield each["spec"]["template"]["spec"]
            case "CronJob":
                yield each["spec"]["jobTemplate"]["spec"]["template"]["spec"]


def containers(objects: Sequence[Any]) -> list[Any]:
    return [container for pod in pods(objects) for container in pod["containers"]]


def test_kubernetes_knows_every_field(rendered: str, tmp_path: Path) -> None:
    if not VALIDATOR.exists():
        pytest.skip("kubernetes-validate is not installed: see .ci/run")
    file = tmp_path / "rendered.yaml"
    builtin = [each for each in yaml.safe_load_all(rendered) if "cnpg.io" not in each["apiVersion"]]
    file.write_text(yaml.safe_dump_all(builtin))
    found = subprocess.run([VALIDATOR, "--strict", file], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr


def test_every_variable_is_a_setting(objects: Sequence[Any]) -> None:
    names = {name for each in of_kind(objects, "ConfigMap") for name in each["data"]}
    names |= {variable["name"] for container in containers(objects) for variable in container.get("env", [])}
    names |= BY_HAND["orders-api"]
    assert {name.lower() for name in names} - {"api_password"} <= set(Settings.model_fields)


def test_the_settings_are_valid(objects: Sequence[Any]) -> None:
    values = {name.lower(): value for each in of_kind(objects, "ConfigMap") for name, value in each["data"].items()}
    (url,) = {
        variable["value"]
        for container in containers(objects)
        for variable in container.get("env", [])
        if variable["name"] == "DATABASE_URL" and "value" in variable
    }
    secret = "a-secret-of-more-than-32-characters-for-tests"
    Settings(**values, database_url=url.replace("$(API_PASSWORD)", "password"), secret_key=SecretStr(secret))


def test_every_command_is_one(objects: Sequence[Any]) -> None:
    commands = get_command(cli).commands  # type: ignore[attr-defined]  # a group has them
    for container in containers(objects):
        assert container["args"][0] in commands
        assert "command" not in container, "the image has it"


def test_the_image_is_that_of_this_release_and_so_is_the_name_of_the_migration(objects: Sequence[Any]) -> None:
    (version,) = re.findall(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert {container["image"].rpartition(":")[2] for container in containers(objects)} == {version}
    assert the_one(objects, "Job")["metadata"]["name"] == f"orders-migrate-{version}"


def test_the_pods_run_as_the_user_of_the_image_and_have_few_rights(objects: Sequence[Any]) -> None:
    (user,) = re.findall(r"useradd .*--uid (\d+)", (ROOT / "Dockerfile").read_text())
    for pod in pods(objects):
        assert pod["securityContext"]["runAsUser"] == int(user)
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["automountServiceAccountToken"] is False
    for container in containers(objects):
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["limits"].keys() == {"memory"}, "a limit of CPU would stop it amid a request"
        assert "/tmp" in {mount["mountPath"] for mount in container["volumeMounts"]}


def test_the_probes_and_the_proxy_ask_for_what_is_served(objects: Sequence[Any]) -> None:
    router = probes(Mock(Readiness), Mock(Events))
    served = {route.path for route in router.routes if isinstance(route, APIRoute)}
    (api,) = [container for container in containers(objects) if container["args"] == ["serve"]]
    asked = {api[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness", "readiness")}
    assert asked == served
    (rule,) = the_one(objects, "Ingress")["spec"]["rules"]
    assert [path["path"] for path in rule["http"]["paths"]] == [GRAPHQL_PATH]


def test_every_port_is_one_that_somebody_listens_on(objects: Sequence[Any]) -> None:
    (api,) = [container for container in containers(objects) if container["args"] == ["serve"]]
    ports = {port["name"]: port["containerPort"] for port in api["ports"]}
    assert str(ports["http"]) == the_one(objects, "ConfigMap")["data"]["PORT"]
    assert the_one(objects, "Service")["spec"]["ports"][0]["targetPort"] in ports
    policy = next(each for each in of_kind(objects, "NetworkPolicy") if each["metadata"]["name"] == "orders-api")
    assert policy["spec"]["ingress"][0]["ports"][0]["port"] == ports["http"]


def test_a_process_has_the_time_it_needs_to_stop(objects: Sequence[Any]) -> None:
    pod = the_one(objects, "Deployment")["spec"]["template"]["spec"]
    _, wait = pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    grace = int(the_one(objects, "ConfigMap")["data"]["SHUTDOWN_GRACE_SECONDS"])
    assert int(wait) + grace < pod["terminationGracePeriodSeconds"] <= HARD_LIMIT
    readiness = pod["containers"][0]["readinessProbe"]["periodSeconds"]
    assert int(wait) > readiness, "the proxy must notice first"


def test_the_start_may_take_as_long_as_the_database(objects: Sequence[Any]) -> None:
    probe = the_one(objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]["startupProbe"]
    default = Settings.model_fields["database_start_wait_seconds"].default
    assert probe["periodSeconds"] * probe["failureThreshold"] > default


def test_every_secret_is_made_by_the_operator_or_by_hand(objects: Sequence[Any]) -> None:
    known = BY_HAND | OF_THE_OPERATOR
    guide = (ROOT / "docs" / "operations.md").read_text()
    assert all(f"create secret generic {name}" in guide for name in BY_HAND)
    for container in containers(objects):
        for variable in container.get("env", []):
            if reference := variable.get("valueFrom", {}).get("secretKeyRef"):
                assert reference["key"] in known[reference["name"]]
        assert {each["secretRef"]["name"] for each in container["envFrom"] if "secretRef" in each} <= known.keys()
    (role,) = the_one(objects, "Cluster")["spec"]["managed"]["roles"]
    assert role["passwordSecret"]["name"] in BY_HAND


def test_the_database_is_where_the_api_connects(objects: Sequence[Any]) -> None:
    cluster = the_one(objects, "Cluster")
    (api,) = [container for container in containers(objects) if container["args"] == ["serve"]]
    (url,) = [variable["value"] for variable in api["env"] if variable["name"] == "DATABASE_URL"]
    place, bootstrap = urlsplit(url), cluster["spec"]["bootstrap"]["initdb"]
    assert (place.hostname, place.path) == (f"{cluster['metadata']['name']}-rw", f"/{bootstrap['database']}")
    assert place.username == cluster["spec"]["managed"]["roles"][0]["name"]


def test_the_role_of_the_api_has_the_rights_that_it_has_in_containers(objects: Sequence[Any]) -> None:
    granted = " ".join(the_one(objects, "Cluster")["spec"]["bootstrap"]["initdb"]["postInitApplicationSQL"])
    rights = re.findall(r"GRANT (.+?) ON (?:ALL )?TABLES", (ROOT / "config" / "role.sql").read_text())
    assert rights
    assert all(f"GRANT {right} ON TABLES TO orders_api" in granted for right in rights)


def test_postgres_has_connections_for_as_many_pods_as_there_may_be(objects: Sequence[Any]) -> None:
    settings = the_one(objects, "ConfigMap")["data"]
    each = int(settings["WORKERS"]) * (int(settings["DATABASE_POOL_SIZE"]) + BESIDE_THE_POOL)
    surge = the_one(objects, "Deployment")["spec"]["strategy"]["rollingUpdate"]["maxSurge"]
    most = the_one(objects, "HorizontalPodAutoscaler")["spec"]["maxReplicas"] + surge
    allowed = int(the_one(objects, "Cluster")["spec"]["postgresql"]["parameters"]["max_connections"])
    assert most * each <= allowed - RESERVED
    assert most == int(settings["MAX_INSTANCES"]), "doctor would count others"


def test_the_selectors_find_the_pods(objects: Sequence[Any]) -> None:
    labels = the_one(objects, "Deployment")["spec"]["template"]["metadata"]["labels"]
    for kind in ("Deployment", "PodDisruptionBudget"):
        assert the_one(objects, kind)["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert the_one(objects, "Service")["spec"]["selector"].items() <= labels.items()
    target = the_one(objects, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
    assert target["name"] == the_one(objects, "Deployment")["metadata"]["name"]
