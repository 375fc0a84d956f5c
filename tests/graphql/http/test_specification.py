"""The specification of GraphQL over HTTP, as the npm package graphql-http audits it."""

import json
import os
import subprocess

import pytest

from tests.node import node_command
from tests.servers import served

CHECKS = 61


@pytest.mark.parametrize("compiled_path", ["false", "true"])
def test_every_check_of_the_audit_is_passed_without_a_warning(database_url: str, compiled_path: str) -> None:
    command = node_command("audit.cjs", "graphql-http")
    with served(DATABASE_URL=database_url, COMPILED_PATH=compiled_path) as (_, url):
        audit = subprocess.run(
            [*command, f"{url}/graphql"],
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
            env={"PATH": os.environ["PATH"]},
        )

    results = [json.loads(line) for line in audit.stdout.splitlines()]
    assert [result for result in results if result["status"] != "ok"] == []
    assert len(results) == CHECKS
