"""The doctor says which replicas can answer queries."""

import subprocess
import sys

from app.settings import ROOT
from tests.faults.stores import SECRET
from tests.replicas.conftest import Deployment


def examined(deployment: Deployment, urls: str) -> str:
    environment = {
        "DATABASE_URL": deployment.servers.primary.url,
        "DATABASE_REPLICA_URLS": urls,
        "SECRET_KEY": SECRET,
        "PORT": "0",
        "PYTHONIOENCODING": "utf-8",
    }
    return subprocess.run(
        [sys.executable, "-m", "app", "doctor"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    ).stdout


def test_each_replica_is_examined(deployment: Deployment) -> None:
    primary, standby = deployment.servers.primary, deployment.servers.standby
    found = examined(deployment, f"{standby.url} {primary.url} postgresql://postgres@127.0.0.1:1/postgres")
    assert f"the replica at {standby.place} follows" in found
    assert f"the server at {primary.place} in DATABASE_REPLICA_URLS takes writes" in found
    assert "127.0.0.1:1" in found
    assert "the primary answers its queries" in found
