"""Packages from npm that tests run; without them the tests skip themselves visibly."""

import os
import shutil
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parent / "graphql" / "subscriptions" / "node"


def node_command(script: str, package: str) -> list[str]:
    """Return the command that runs a script, to which its own arguments are added."""
    require_node()
    return ["node", str(SCRIPTS / script), str(node_package(package).parents[1])]


def require_node() -> None:
    """Skip the test where Node.js is missing."""
    if shutil.which("node") is None:
        pytest.skip("no node on the PATH")


def node_package(name: str, installed_in: Path = SCRIPTS) -> Path:
    """Return the folder of a package."""
    folder = Path(os.environ.get("NODE_PACKAGES", installed_in)) / "node_modules" / name
    if not folder.exists():
        pytest.skip(f"the npm packages are not installed: npm install --prefix {installed_in.relative_to(Path.cwd())}")
    return folder
