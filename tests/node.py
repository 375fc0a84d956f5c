"""Packages from npm that tests run; without them the tests skip themselves visibly."""

import os
import shutil
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parent / "graphql" / "subscriptions" / "node"


def node_command(script: str, package: str) -> list[str]:
    """Return the command that runs a script, to which its own arguments are added."""
    packages = Path(os.environ.get("NODE_PACKAGES", SCRIPTS))
    if shutil.which("node") is None:
        pytest.skip("no node on the PATH")
    if not (packages / "node_modules" / package).exists():
        pytest.skip(f"the npm packages are not installed: npm install --prefix {SCRIPTS.relative_to(Path.cwd())}")
    return ["node", str(SCRIPTS / script), str(packages)]
