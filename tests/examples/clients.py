"""The clients in `examples/`: copied, so that what is generated stays out of the checkout, compiled and run."""

import shutil
import subprocess
from collections.abc import Callable, Sequence
from os import environ
from pathlib import Path

import pytest

from app.settings import ROOT

EXAMPLES = ROOT / "examples"
SCHEMA = (ROOT / "schema.graphql").read_text()
PYTHON = EXAMPLES / "python" / ".venv" / "bin"
_GENERATED = shutil.ignore_patterns("node_modules", "dist", "gql", "__generated__", "orders_api", ".venv", ".*_cache")
_PATIENCE = 120.0  # seconds in which everything is done, or never

Outcome = subprocess.CompletedProcess[str]


class Example:
    """A copy of an example beside a schema, as it is beside ours."""

    def __init__(self, folder: Path, compiling: Sequence[Sequence[str]], running: Sequence[str]) -> None:
        self.folder = folder
        self._compiling = compiling
        self._running = running

    def compile(self) -> Outcome:
        """Generate its code and check its types; return the outcome of what failed, or else of the last command."""
        for command in self._compiling:
            outcome = self._run(command)
            if outcome.returncode:
                break
        return outcome

    def run(self, url: str) -> Outcome:
        """Let it do what it shows."""
        return self._run(self._running, ORDERS_URL=f"{url}/graphql")

    def _run(self, command: Sequence[str], **environment: str) -> Outcome:
        environment = {"PATH": environ["PATH"], "HOME": environ.get("HOME", "/"), **environment}
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=_PATIENCE
        )


Copy = Callable[[str, str], Example]


def copy(folder: Path, name: str, schema: str) -> Example:
    """Copy an example beside this schema; skip the test where its packages are not installed."""
    (folder / "schema.graphql").write_text(schema)
    example = folder / "examples" / name
    shutil.copytree(EXAMPLES / name, example, ignore=_GENERATED)
    if name == "python":
        return _of_python(example)
    return _of_npm(example)


def _of_npm(example: Path) -> Example:
    if shutil.which("npm") is None:
        pytest.skip("no npm on the PATH")
    if not (EXAMPLES / "node_modules" / "@orders-examples" / example.name).exists():
        pytest.skip("the packages of the examples are not installed: npm install --prefix examples")
    for folder in (example, example.parent):
        if (packages := EXAMPLES / folder.relative_to(example.parent) / "node_modules").exists():
            (folder / "node_modules").symlink_to(packages)
    return Example(example, [["npm", "run", "--silent", "compile"]], ["node", "dist/main.js"])


def _of_python(example: Path) -> Example:
    if not (PYTHON / "ariadne-codegen").exists():
        pytest.skip("the packages of the example are not installed: see examples/README.md")
    cache = EXAMPLES / "python" / ".mypy_cache"
    compiling = [[str(PYTHON / "ariadne-codegen")], [str(PYTHON / "mypy"), "--cache-dir", str(cache)]]
    return Example(example, compiling, [str(PYTHON / "python"), "-W", "default", "main.py"])
