"""Each name, port, setting, command and secret in the manifests is one that exists."""

import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import Mock
from urllib.parse import urlsplit

import pytest
import yaml
from fastapi.routing import APIRoute
from pydantic import SecretStr
from sqlalchemy import make_url
from typer.main import get_command

from app.cli.commands import cli
from app.cli.database_checks import BESIDE_THE_POOL
from app.db.server_settings import alter_role, role_settings
from app.events.log import Events
from app.main import GRAPHQL_PATH
from app.process.probes import probes
from app.process.readiness import Readiness
from app.pruning.partitions import AHEAD, TOO_SHORT
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


def templates(objects: Sequence[Any]) -> Iterator[Any]:
    """Yield the template of each kind of pod."""
    for each in objects:
        match each["kind"]:
            case "Deployment" | "Job":
                yield each["spec"]["template"]
            case "CronJob":
                yield each["spec"]["jobTemplate"]["spec"]["template"]


def pods(objects: Sequence[Any]) -> list[Any]:
    """Return the specification of each kind of pod."""
    return [template["spec"] for template in templates(objects)]


def containers(objects: Sequence[Any]) -> list[Any]:
    return [container for pod in pods(objects) for container in pod["containers"]]


def urls_of_the_api(objects: Sequence[Any]) -> dict[str, str]:
    """Return where the API connects to, by the names of its settings."""
    (api,) = [container for container in containers(objects) if container["args"] == ["serve"]]
    return {each["name"]: each["value"] for each in api["env"] if each["name"].endswith("_URL")}


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
    urls: dict[str, Any] = {
        name.lower(): url.replace("$(API_PASSWORD)", "password") for name, url in urls_of_the_api(objects).items()
    }
    secret = "a-secret-of-more-than-32-characters-for-tests"
    Settings(**values, **urls, secret_key=SecretStr(secret))


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


def test_the_api_connects_through_the_pooler_and_for_events_to_the_primary(objects: Sequence[Any]) -> None:
    cluster, pooler = the_one(objects, "Cluster"), the_one(objects, "Pooler")
    assert pooler["spec"]["cluster"]["name"] == cluster["metadata"]["name"]
    urls = {name: urlsplit(url) for name, url in urls_of_the_api(objects).items()}
    hosts = {name: place.hostname for name, place in urls.items()}
    assert hosts == {
        "DATABASE_URL": pooler["metadata"]["name"],
        "DATABASE_DIRECT_URL": f"{cluster['metadata']['name']}-{pooler['spec']['type']}",
    }
    for place in urls.values():
        assert place.path == f"/{cluster['spec']['bootstrap']['initdb']['database']}"
        assert place.username == cluster["spec"]["managed"]["roles"][0]["name"]


def test_the_pooler_is_one_that_the_api_can_work_behind(objects: Sequence[Any]) -> None:
    """And the role of the API has the timeouts that the pooler doesn't pass on."""
    pgbouncer = the_one(objects, "Pooler")["spec"]["pgbouncer"]
    assert pgbouncer["poolMode"] == "transaction"
    assert int(pgbouncer["parameters"]["max_prepared_statements"]) > 0
    names = {name.lower() for name in the_one(objects, "ConfigMap")["data"]}
    assert not names & {"statement_timeout_seconds", "operation_timeout_seconds"}, "the timeouts are the default ones"
    given = the_one(objects, "Cluster")["spec"]["bootstrap"]["initdb"]["postInitApplicationSQL"]
    wanted = alter_role(make_url("postgresql://orders_api@db"), role_settings(Settings()))
    assert [line for line in given if "ALTER ROLE" in line] == [line.replace('"', "").rstrip(";") for line in wanted]


def test_who_changes_tables_is_their_owner(objects: Sequence[Any]) -> None:
    """Past the pooler: that takes a session."""
    for command in ("migrate", "prune"):
        (container,) = [each for each in containers(objects) if each["args"] == [command]]
        (url,) = [each for each in container["env"] if each["name"] == "DATABASE_URL"]
        assert url["valueFrom"]["secretKeyRef"] == {"name": "orders-db-app", "key": "uri"}


def test_partitions_are_added_long_before_they_are_needed(objects: Sequence[Any]) -> None:
    job = the_one(objects, "CronJob")["spec"]
    assert re.fullmatch(r"\d+ \d+ \* \* \*", job["schedule"]), "every day"
    assert job["concurrencyPolicy"] == "Forbid"
    assert timedelta(days=2) < AHEAD - TOO_SHORT


def test_pods_may_connect_to_what_they_need(objects: Sequence[Any]) -> None:
    policies = {each["metadata"]["name"]: each["spec"] for each in of_kind(objects, "NetworkPolicy")}
    pooler, cluster = ({"cnpg.io/poolerName": "orders-db-pooler"}, {"cnpg.io/cluster": "orders-db"})
    assert the_one(objects, "Pooler")["metadata"]["name"] == pooler["cnpg.io/poolerName"]
    reached = [each["podSelector"]["matchLabels"] for each in policies["orders-api"]["egress"][0]["to"]]
    assert reached == [cluster, pooler]
    kinds = ("Deployment", "Job", "CronJob")
    templates = [
        each["spec"].get("jobTemplate", each)["spec"]["template"] for kind in kinds for each in of_kind(objects, kind)
    ]
    names = {template["metadata"]["labels"]["app.kubernetes.io/name"] for template in templates}
    (selected,) = policies["orders-api"]["podSelector"]["matchExpressions"]
    assert {*selected["values"]} == names
    from_pods, *others = policies["orders-db"]["ingress"][0]["from"]
    assert {*from_pods["podSelector"]["matchExpressions"][0]["values"]} == names
    assert [each["podSelector"]["matchLabels"] for each in others] == [cluster, pooler]
    assert policies["orders-db-pooler"]["podSelector"]["matchLabels"] == pooler


def test_the_role_of_the_api_has_the_rights_that_it_has_in_containers(objects: Sequence[Any]) -> None:
    granted = " ".join(the_one(objects, "Cluster")["spec"]["bootstrap"]["initdb"]["postInitApplicationSQL"])
    rights = re.findall(r"GRANT (.+?) ON (?:ALL )?TABLES", (ROOT / "config" / "role.sql").read_text())
    assert rights
    assert all(f"GRANT {right} ON TABLES TO orders_api" in granted for right in rights)


def test_there_are_connections_for_as_many_pods_as_there_may_be(objects: Sequence[Any]) -> None:
    settings = the_one(objects, "ConfigMap")["data"]
    surge = the_one(objects, "Deployment")["spec"]["strategy"]["rollingUpdate"]["maxSurge"]
    pods = the_one(objects, "HorizontalPodAutoscaler")["spec"]["maxReplicas"] + surge
    processes = pods * int(settings["WORKERS"])
    pooler = the_one(objects, "Pooler")["spec"]
    parameters = {name: int(value) for name, value in pooler["pgbouncer"]["parameters"].items()}
    pooled = pooler["instances"] * parameters["default_pool_size"]
    allowed = int(the_one(objects, "Cluster")["spec"]["postgresql"]["parameters"]["max_connections"])
    assert pooled + processes * BESIDE_THE_POOL <= allowed - RESERVED
    all_to_one = processes * (int(settings["DATABASE_POOL_SIZE"]) + BESIDE_THE_POOL)
    assert all_to_one <= parameters["max_client_conn"], "while another instance of the pooler is away"
    assert pods == int(settings["MAX_INSTANCES"]), "doctor would count others"


def test_the_selectors_find_the_pods(objects: Sequence[Any]) -> None:
    labels = the_one(objects, "Deployment")["spec"]["template"]["metadata"]["labels"]
    for kind in ("Deployment", "PodDisruptionBudget"):
        assert the_one(objects, kind)["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert the_one(objects, "Service")["spec"]["selector"].items() <= labels.items()
    target = the_one(objects, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
    assert target["name"] == the_one(objects, "Deployment")["metadata"]["name"]
