"""Every imported package is declared in pyproject.toml, and the locks satisfy its bounds."""

import ast
import importlib.util
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from app.settings import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PRODUCTION = [Requirement(line) for line in PROJECT["project"]["dependencies"]]
DEVELOPMENT = [Requirement(line) for line in PROJECT["dependency-groups"]["dev"]]
# Declared for another package that needs them: uvicorn, limits.
NOT_IMPORTED = {"uvloop", "websockets"}
FOLDERS = ("app", "tools", "alembic")


def names(requirements: list[Requirement]) -> set[str]:
    return {canonicalize_name(requirement.name) for requirement in requirements}


@cache
def imports() -> dict[str, Path]:
    """Return every imported module that isn't ours or Python's, with a file that imports it."""
    paths = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    found = {name: path for path in paths for name in _imported(path)}
    known = {"app", "tools", *sys.stdlib_module_names}
    return {name: path for name, path in found.items() if name.split(".")[0] not in known}


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module


@cache
def distributions() -> Mapping[str, list[str]]:
    return packages_distributions()


@cache
def owner_of(module: str) -> str:
    """Return the distribution that provides a module; several share a namespace such as `opentelemetry`."""
    owners = sorted(set(distributions()[module.split(".")[0]]))
    if len(owners) == 1:
        return canonicalize_name(owners[0])
    spec = importlib.util.find_spec(module)
    assert spec is not None, module
    assert spec.origin is not None, module
    origin = Path(spec.origin)
    (owner,) = [name for name in owners if any(file.locate() == origin for file in distribution(name).files or ())]
    return canonicalize_name(owner)


def test_every_imported_package_is_declared() -> None:
    assert len(imports()) > 40
    undeclared = {owner_of(module): path.name for module, path in imports().items()}
    for name in names(PRODUCTION):
        undeclared.pop(name, None)
    assert undeclared == {}


def test_every_declared_package_is_imported() -> None:
    assert names(PRODUCTION) - {owner_of(module) for module in imports()} == NOT_IMPORTED


@pytest.mark.parametrize("requirement", PRODUCTION, ids=lambda requirement: requirement.name)
def test_every_declared_package_has_a_lower_bound(requirement: Requirement) -> None:
    assert any(bound.operator == ">=" for bound in requirement.specifier)


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_the_locks_satisfy_the_bounds(lock: str) -> None:
    pinned = dict(re.findall(r"^([\w.-]+)==([^\s;]+)", (ROOT / lock).read_text(), re.MULTILINE))
    required = PRODUCTION + (DEVELOPMENT if "dev" in lock else [])
    for requirement in required:
        assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), requirement
