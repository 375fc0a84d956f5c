"""The documentation is true: each command runs somewhere, each link has a target, each decision is complete."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest
import yaml
from typer.main import get_group

from app.cli.commands import cli
from app.settings import ROOT
from tests.databases import create_database, drop_database
from tests.servers import started

PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "examples/**/*.md")
    for path in ROOT.glob(pattern)
    if "node_modules" not in path.parts
)
DECISIONS = sorted(path for path in (ROOT / "docs" / "decisions").glob("*.md") if path.name != "README.md")
PROGRAMS = r"make|python3?|pip|pytest|alembic|uv|pre-commit|npm|npx|node|docker|psql|pg_dump|pg_restore|curl|jq|git"
COMMAND = re.compile(rf"(?:\w+=\S+ )*(?:\.venv/bin/)?(?:{PROGRAMS}) [^`\n]+")
MODULE = re.compile(r"(?:^|/| )python -m (app|benchmarks[.\w]*)((?: [a-z][-\w]*)?)(.*)")


class Place(NamedTuple):
    """A file that runs a command, and how it says so."""

    file: str
    text: str


HERE = {"make help", "python -m app settings", 'python -c "import secrets; print(secrets.token_urlsafe(48))"'}
"""Those that a test below runs as they are written."""

RUN = {
    "make run": Place("tests/web/test_static.py", "def test_make_run"),
    "PORT=* make run": Place("tests/web/test_static.py", "def test_make_run"),
    "make test": Place(".ci/run", "make test"),
    "make check": Place(".ci/run", "make lint types"),
    "make test-pooled*": Place(".ci/run", "make test-pooled only="),
    "make lint": Place(".ci/run", "make lint types"),
    "make format": Place("tests/test_contributing.py", "make format"),
    "make schema": Place("tests/test_contributing.py", ".follow(recipe)"),
    "make schema-diff": Place("tests/tools/test_releases.py", ".objections("),
    "make release v=*": Place("tests/tools/test_releases.py", 'run("release", '),
    "make storefront": Place("tests/examples/storefront.py", '"npm", "run", "dev"'),
    "make migration*": Place("tests/test_contributing.py", ".follow(recipe)"),
    "python -m app": Place("tests/cli/test_commands.py", '"-m", "app", *arguments'),
    "DATABASE_URL=* .venv/bin/alembic downgrade -?": Place("tests/db/test_migrations.py", "command.downgrade"),
    ".venv/bin/python -m app migrate": Place("tests/db/test_migrations.py", '"-m", "app", "migrate"'),
    ".venv/bin/python -m app create-superuser": Place("tests/cli/test_commands.py", "create-superuser"),
    "python -m app migrate": Place("tests/db/test_migrations.py", '"-m", "app", "migrate"'),
    "python -m app prune": Place("tests/cli/test_commands.py", 'run("prune", '),
    "python -m app seed *": Place("tests/cli/test_commands.py", '("seed", '),
    "*python -m app doctor": Place("tests/cli/test_doctor.py", "doctor"),
    "python -m app role-settings*": Place("tests/poolers/test_serving.py", '["role-settings"]'),
    "python -m app serve": Place("tests/servers.py", '"-m", "app", "serve"'),
    "npm install": Place(".ci/run", "npm install --prefix"),
    "npm run dev": Place("tests/examples/storefront.py", '"npm", "run", "dev"'),
    "npm run check": Place("tests/examples/storefront.py", '"npm", "exec", "tsc"'),
    "npm run compile *": Place("tests/examples/clients.py", '"npm", "run", "--silent", "compile"'),
    "npm start --workspace *": Place("tests/examples/clients.py", '["node", "dist/main.js"]'),
    "TRUSTED_DOCUMENTS=require *": Place("tests/examples/test_clients.py", 'TRUSTED_DOCUMENTS="require"'),
    "python3 -m venv .venv": Place(".ci/run", "-m venv examples/python/.venv"),
    ".venv/bin/pip install -r requirements.lock": Place(".ci/run", "examples/python/.venv/bin/pip install"),
    ".venv/bin/ariadne-codegen": Place("tests/examples/clients.py", '"ariadne-codegen"'),
    ".venv/bin/mypy": Place("tests/examples/clients.py", 'PYTHON / "mypy"'),
    ".venv/bin/python main.py": Place("tests/examples/clients.py", '"main.py"'),
    "alembic downgrade": Place("tests/db/test_migrations.py", "command.downgrade"),
    "pg_dump *": Place("tests/test_operations.py", 'blocks("sh", "pg_restore")'),
    "pg_restore *": Place("tests/test_operations.py", 'blocks("sh", "pg_restore")'),
    "psql *": Place("tests/test_operations.py", 'blocks("sh", "pg_restore")'),
    'DATABASE_URL="$RESTORED" python -m app migrate': Place("tests/test_operations.py", 'blocks("sh", "pg_restore")'),
}
"""Who runs the others, by patterns: a test, or CI."""

NOT_RUN = {
    "set -a; *": "reads the settings of a service that is not installed here; they are set by the tests themselves",
    "make bench": "it takes seven minutes; tests/test_benchmarks.py races for a second",
    "* -m benchmarks*": "they take minutes; tests/test_benchmarks.py runs their parts; below, their options are read",
    "*-m pytest *": "make test runs all tests; below what they name is looked for",
    "npm run build": "nothing here serves what it builds; npm run check and npm run dev go through the same sources",
    "make lock": "it needs uv and the network, and changes the pins",
    "pre-commit install": "it changes the clone's git; below its hooks are looked at",
    "kubectl *": "there is no cluster; tests/kubernetes looks at the manifests",
    "password=*": "it is for the secrets of a cluster",
    "docker compose *": "there may be no engine; tests/test_containers.py looks at the files",
    "POSTGRES_PASSWORD=* docker compose up": "there may be no engine; tests/test_containers.py looks at the files",
}
"""Those that nobody runs, and why."""


def commands_in(page: str) -> Iterator[str]:
    """Yield each command of a page: the lines of its blocks of shell, and the inline code of its sentences."""
    block = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
    for language, text in block.findall(page):
        if language in ("sh", "bash", "console"):
            lines = re.sub(r"(^|[ \t]+)# .*$", "", re.sub(r"\\\n\s*", "", text), flags=re.MULTILINE)
            typed = (command.strip() for command in re.split(r"\n| && ", lines))
            yield from (command for command in typed if command and not command.startswith("cd "))
    for text in re.findall(r"`([^`\n]+)`", block.sub("", page)):
        if COMMAND.fullmatch(text):
            yield text


COMMANDS = {command: path for path in PAGES for command in commands_in(path.read_text())}


def matching(command: str, patterns: dict[str, Any]) -> list[str]:
    return [pattern for pattern in patterns if fnmatchcase(command, pattern)]


def run(command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command as it is written, with the interpreter of the tests; `make` installs nothing."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    command = re.sub(r"^make ", f'make PYTHON=true RUN="{sys.executable}" ', command.removeprefix(".venv/bin/"))
    return subprocess.run(
        ["sh", "-c", command],
        cwd=ROOT,
        env={"PATH": path, "COLUMNS": "200", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@cache
def explanation(command: str) -> str:
    done = run(command)
    assert done.returncode == 0, done.stderr
    return done.stdout


@cache
def options(module: str, subcommand: str) -> set[str]:
    """Return the options of a command."""
    if module != "app":
        return {*re.findall(r"--[-\w]+", explanation(f"python -m {module} --help"))}
    group = get_group(cli)
    command = group.commands[subcommand] if subcommand else group
    return {option for parameter in command.params for option in parameter.opts}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_run_by_somebody_or_it_is_said_why_not(command: str) -> None:
    places = [RUN[pattern] for pattern in matching(command, RUN)]
    if not (command in HERE or places or matching(command, NOT_RUN)):
        pytest.fail(
            f"{COMMANDS[command].relative_to(ROOT)} says `{command}`, and nobody knows whether that works.\n"
            "Let a test run it, and say which in RUN, or put it into HERE, if it ends soon and changes nothing;\n"
            "into NOT_RUN, with the reason, only what cannot be run here.",
            pytrace=False,
        )
    for file, text in places:
        assert text in (ROOT / file).read_text(), f"{file} no longer runs `{command}`"


def test_nothing_stands_in_the_tables_that_no_page_says() -> None:
    unsaid = [pattern for pattern in (*HERE, *RUN, *NOT_RUN) if not any(fnmatchcase(one, pattern) for one in COMMANDS)]
    assert not unsaid


@pytest.mark.parametrize("command", sorted(HERE))
def test_it_works_as_it_is_written(command: str) -> None:
    done = run(command)

    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.parametrize("command", [command for command in COMMANDS if MODULE.search(command)])
def test_every_option_that_is_named_is_one(command: str) -> None:
    (module, subcommand, rest), *_ = MODULE.findall(command)
    assert {*re.findall(r"(?<= )--[-\w]+", rest)} <= options(module, subcommand.strip())


def test_every_test_that_is_named_is_there() -> None:
    named = [name for command in COMMANDS if "-m pytest" in command for name in re.findall(r"tests/[\w/.]+", command)]
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_target_that_is_named_is_in_the_makefile() -> None:
    explained = explanation("make help")
    targets = {command.split()[1] for command in COMMANDS if command.startswith("make ")}
    assert [target for target in targets if f"make {target} " not in explained and target != "help"] == []


@pytest.fixture
def empty_database(server_url: str) -> Iterator[str]:
    url = create_database(server_url, f"orders_test_pages_{os.getpid()}")
    yield url
    drop_database(url)


def test_make_run_serves_the_demo_shop_and_ends_with_whoever_started_it(empty_database: str) -> None:
    command = ["make", "PYTHON=true", f"RUN={sys.executable}", "run"]
    with started(command, DATABASE_URL=empty_database) as (process, url):
        response = httpx2.post(f"{url}/graphql", json={"query": '{ stores(filter: {search: "fouet"}) { totalCount } }'})
        assert response.json()["data"] == {"stores": {"totalCount": 1}}
        process.kill()
        _, output = process.communicate(timeout=30)  # which it would keep open
    assert f"{url}/graphql" in output


def anchors(page: str) -> set[str]:
    """Return what links can lead to within a page, as GitHub makes it of headings."""
    without_code = re.sub(r"^ *```.*?^ *```$", "", page, flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.*)$", without_code, re.MULTILINE)
    return {re.sub(r"[^-\w ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"^ *```.*?^ *```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" not in link:
            name, _, anchor = link.partition("#")
            target = (page.parent / name).resolve() if name else page
            assert target.exists(), link
            assert not anchor or anchor in anchors(target.read_text()), link


@pytest.mark.parametrize("page", DECISIONS, ids=lambda path: path.stem)
def test_every_decision_says_why_and_what_it_costs_on_a_page(page: Path) -> None:
    text = page.read_text()
    assert re.findall(r"^\*\*(Decision\.|Why\.|Trade-offs\.|Reconsider)\*\*", text, re.MULTILINE) == [
        "Decision.",
        "Why.",
        "Trade-offs.",
        "Reconsider",
    ]
    assert len(text.split()) <= 650
    assert f"]({page.name})" in (page.parent / "README.md").read_text()


@pytest.mark.parametrize("page", [*DECISIONS, ROOT / "CONTRIBUTING.md"], ids=lambda path: path.stem)
def test_every_file_that_is_named_exists(page: Path) -> None:
    for name in re.findall(r"`((?:app|tests|docs|alembic|config)/[\w/]+(?:\.\w+)?)`", page.read_text()):
        assert (ROOT / name).exists(), name


def test_each_commit_is_checked_by_what_ci_runs() -> None:
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert repository["repo"] == "local"  # nothing is fetched
    hooks = {hook["entry"] for hook in repository["hooks"]}
    assert hooks == {"make lint", "make types", "make schema"}
    assert all(hook["language"] == "system" and not hook["pass_filenames"] for hook in repository["hooks"])
    assert "make lint types" in (ROOT / ".ci" / "run").read_text()
