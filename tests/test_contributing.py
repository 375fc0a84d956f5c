"""CONTRIBUTING.md is true: its map matches the repository, and its recipes work as written."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from app.settings import ROOT
from tests.databases import create_database, drop_database, environment_of

PAGE = (ROOT / "CONTRIBUTING.md").read_text()
RECIPES = dict(re.findall(r"^### (.*?)\n(.*?)(?=^### |\Z)", PAGE, re.DOTALL | re.MULTILINE))
# What holds of every change, beside the tests that recipes bring.
TESTS = (
    "test_schema.py",
    "test_imports.py",
    "db/test_migrations.py::test_every_migration_goes_up_and_down_and_up_again",
    "db/test_migrations.py::test_autogenerate_finds_nothing_to_do",
    "db/test_migrations.py::test_the_checks_of_the_models_are_those_of_the_database",
    "db/test_texts.py",
    "audit/test_every_mutation.py",
)
NOT_COPIED = (".*", "node_modules", "assets")


def steps(recipe: str) -> list[tuple[str, str]]:
    """Return what a recipe tells to do, in its order: the language of each block, and what it says."""
    found = re.findall(r"^( *)```(diff|python|sh)\n(.*?)^ *```$", recipe, re.DOTALL | re.MULTILINE)
    return [(language, dedent(text)) for _, language, text in found]


class Copy:
    """A copy of the repository, in which recipes are followed."""

    def __init__(self, root: Path, database_url: str) -> None:
        self.root = root
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
        self._environment = {**inherited, **environment_of(database_url)}
        shutil.copytree(ROOT, root, ignore=shutil.ignore_patterns(*NOT_COPIED))
        self.tests = [f"tests/{name}" for name in TESTS]

    def follow(self, recipe: str) -> None:
        """Do what each step says."""
        for language, text in steps(recipe):
            if language == "diff":
                self._change(*text.split("\n", 1))
            elif language == "python":
                self._write(*text.split("\n", 1))
            else:
                self.run(text)

    def run(self, commands: str) -> str:
        """Run what is typed into a shell; `make` with the interpreter of the tests, and nothing to install."""
        commands = re.sub(r"^make ", f'make PYTHON=true RUN="{sys.executable}" ', commands, flags=re.MULTILINE)
        done = subprocess.run(
            ["sh", "-e", "-c", commands],
            cwd=self.root,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{commands}\n{done.stdout}"
        return done.stdout

    def _write(self, first_line: str, text: str) -> None:
        file = self.root / first_line.removeprefix("# ")
        assert not file.exists(), f"{file} is there already"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        if file.name.startswith("test_"):
            self.tests.append(str(file.relative_to(self.root)))

    def _change(self, first_line: str, hunks: str) -> None:
        (file,) = self.root.glob(first_line.removeprefix("--- "))
        text = file.read_text()
        for hunk in hunks.split("@@\n"):
            lines = hunk.splitlines(keepends=True)
            before = "".join(line[1:] for line in lines if not line.startswith("+"))
            after = "".join(line[1:] for line in lines if not line.startswith("-"))
            assert text.count(before) == 1, f"{file.name} has {text.count(before)} times, not once:\n{before}"
            text = text.replace(before, after)
        file.write_text(text)


@pytest.fixture(scope="module")
def copy(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Copy]:
    """The copy, whose database is empty; the tests within make databases beside it."""
    url = create_database(server_url, f"orders_test_contributing_{os.getpid()}")
    yield Copy(tmp_path_factory.mktemp("contributing") / "orders-api", url)
    drop_database(url)


def test_the_recipes_work_one_after_the_other(copy: Copy) -> None:
    assert len(RECIPES) >= 5
    for recipe in RECIPES.values():
        assert steps(recipe)
        copy.follow(recipe)
    copy.run("make lint")
    copy.run("make format")
    told = copy.run(f"{sys.executable} -m pytest -q -p no:cacheprovider -o addopts= {' '.join(copy.tests)}")
    assert len(copy.tests) > len(TESTS)
    assert " passed" in told


def test_every_module_of_the_map_exists_and_every_one_that_exists_is_in_it() -> None:
    (the_map,) = re.findall(r"## Map\n\n```\n(.*?)```", PAGE, re.DOTALL)
    (inside,) = re.findall(r"^app/\n(.*?)^\S", the_map, re.DOTALL | re.MULTILINE)
    named = {name for names in re.findall(r"^  ((?:\w+(?:\.py|/) ?)+)", inside, re.MULTILINE) for name in names.split()}
    there = {f"{path.name}/" if path.is_dir() else path.name for path in (ROOT / "app").iterdir()}
    assert named == there - {"__init__.py", "__pycache__/"}
    for name in re.findall(r"^(\S+)  ", the_map, re.MULTILINE):
        assert (ROOT / name).exists(), name
