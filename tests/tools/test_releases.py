"""Releases, and documenting for clients what has changed since the last one."""

import re
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from graphql import build_schema, print_schema
from typer.testing import CliRunner

from app.graphql.schema import schema_sdl
from app.settings import ROOT
from tools.releases import Releases, cli, is_next, why_not
from tools.schema_changes import Change, Effect, changes

SDL = schema_sdl()
TODAY = datetime.now(UTC).date()
CHANGELOG = "# Changelog\n\n## Unreleased\n\n- Something.\n\n## 1.9.0 (2026-12-01)\n\n- The first.\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose last release shows the schema of now."""
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "orders-api"\nversion = "1.9.0"\n')
    (tmp_path / "releases").mkdir()
    (tmp_path / "releases" / "1.8.0.graphql").write_text("type Query { wrong: Int }")
    (tmp_path / "releases" / "1.9.0.graphql").write_text(SDL)
    return tmp_path


def released_with(project: Path, old: str, new: str, version: str = "1.9.0") -> None:
    """Let the last release, of this version, have something else in its schema."""
    assert old in SDL
    for file in (project / "releases").iterdir():
        file.unlink()
    (project / "releases" / f"{version}.graphql").write_text(SDL.replace(old, new, 1))


def removed_since(project: Path, version: str) -> None:
    """Let the last release, of this version, have a field that is gone now."""
    released_with(project, "  isSuperuser: Boolean!", "  isSuperuser: Boolean!\n  gone: Int", version)


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli, arguments)
    return result.exit_code, result.output


def test_clients_are_told_of_what_has_changed_in_the_schema() -> None:
    assert Releases(ROOT).objections(build_schema(SDL), TODAY) == [], "see `make schema-diff`"


def test_a_deprecation_without_its_day_is_objected_to(project: Path) -> None:
    schema = build_schema(SDL.replace("  isSuperuser: Boolean!", "  isSuperuser: Boolean! @deprecated"))
    (objection,) = Releases(project).objections(schema, TODAY)
    assert objection.startswith("User.isSuperuser is deprecated")


def test_the_last_release_is_everywhere_the_same() -> None:
    last = Releases(ROOT).last
    versions = re.findall(r"^## (\d\S*) \(\d{4}-\d\d-\d\d\)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert versions[0] == last
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == last
    assert {file.stem for file in (ROOT / "releases").iterdir()} == {*versions}


def test_the_last_release_has_the_highest_number(project: Path) -> None:
    (project / "releases" / "1.10.0.graphql").write_text("type Query { newest: Int }")
    assert Releases(project).last == "1.10.0"
    assert "newest" in print_schema(Releases(project).schema)


def test_what_is_unreleased_ends_with_the_next_heading(project: Path) -> None:
    assert Releases(project).unreleased == "\n- Something.\n\n"


def test_the_difference_is_told(project: Path) -> None:
    assert run("diff", "--root", str(project)) == (0, "Since 1.9.0: no changes.\n")
    released_with(project, "isSuperuser: Boolean!", "isSuperuser: Boolean")
    change = "User.isSuperuser: Field User.isSuperuser changed type from Boolean to Boolean!."
    assert run("diff", "--root", str(project)) == (0, f"Since 1.9.0:\n\nAdded\n  {change}\n")


def test_the_difference_fails_where_clients_are_not_told(project: Path) -> None:
    released_with(project, "  customer: User\n", "  customer: User!\n")
    code, output = run("diff", "--root", str(project))
    assert code == 1
    assert "\nBreaking\n  Order.customer: Field Order.customer changed type from User! to User.\n" in output
    documented = CHANGELOG.replace(
        "- Something.", "### Breaking\n\n- `Order.customer`: it may be null; show “deleted”."
    )
    (project / "CHANGELOG.md").write_text(documented)
    assert run("diff", "--root", str(project))[0] == 0


def test_a_release_writes_its_version_and_its_schema(project: Path) -> None:
    code, output = run("release", "1.9.1", "--root", str(project))
    assert (code, "1.9.1" in output) == (0, True)
    heading = f"## Unreleased\n\n## 1.9.1 ({TODAY.isoformat()})\n\n- Something.\n\n## 1.9.0"
    assert heading in (project / "CHANGELOG.md").read_text()
    assert 'version = "1.9.1"' in (project / "pyproject.toml").read_text()
    assert (project / "releases" / "1.9.1.graphql").read_text() == SDL
    assert Releases(project).last == "1.9.1"


@pytest.mark.parametrize(
    ("version", "released", "changelog", "reason"),
    [
        ("1.9.0", ("", ""), CHANGELOG, "1.9.0 can't follow 1.9.0. The schema hasn't changed, so use 1.9.1: make "),
        ("", ("", ""), CHANGELOG, "An empty version can't follow 1.9.0. "),
        ("1.9.1", ("isSuperuser: Boolean!", "isSuperuser: Boolean"), CHANGELOG, "so use 1.10.0: make release v=1.10.0"),
        ("1.9.1", ("", ""), CHANGELOG.replace("- Something.\n", ""), "no unreleased changes"),
        ("2.0.0", ("  customer: User\n", "  customer: User!\n"), CHANGELOG, "must say what clients should do"),
    ],
)
def test_a_release_that_must_not_be_writes_nothing(
    project: Path, version: str, released: tuple[str, str], changelog: str, reason: str
) -> None:
    released_with(project, *released)
    (project / "CHANGELOG.md").write_text(changelog)
    before = {file: file.read_text() for file in project.rglob("*.*")}
    code, output = run("release", version, "--root", str(project))
    assert (code, reason in output) == (1, True), output
    assert {file: file.read_text() for file in project.rglob("*.*")} == before


BREAKING = Change(Effect.BREAKING, "Query.old", "It was removed.")
ADDED = Change(Effect.NONE, "Query.new", "It was added.")


@pytest.mark.parametrize(
    ("version", "found", "expected"),
    [
        ("1.9.1", [], True),
        ("1.9.1", [ADDED], False),
        ("1.10.0", [ADDED], True),
        ("1.10.0", [BREAKING, ADDED], False),
        ("2.0.0", [BREAKING, ADDED], True),
        ("1.8.9", [], False),
        ("1.9.0", [], False),
        ("2.0", [], False),
        ("1.9.01", [], False),
        ("two", [], False),
    ],
)
def test_the_version_tells_what_kind_of_release_it_is(version: str, found: list[Change], expected: bool) -> None:
    assert is_next(version, "1.9.0", found) is expected


@pytest.mark.parametrize("found", [[], [ADDED], [BREAKING, ADDED]])
@pytest.mark.parametrize("last", ["1.0.0", "1.9.3"])
def test_the_version_to_use_instead_is_a_valid_one(last: str, found: list[Change]) -> None:
    version = why_not("1.0.0", last, found).rpartition("v=")[2]
    assert is_next(version, last, found)


GUIDED = CHANGELOG.replace("- Something.", "### Migrating from 1.0.0\n\nReplace `gone`.")


def test_2_0_0_may_remove_what_1_0_0_did_not_deprecate(project: Path) -> None:
    removed_since(project, "1.0.0")
    (project / "CHANGELOG.md").write_text(GUIDED)

    assert run("diff", "--root", str(project))[0] == 0
    code, output = run("release", "2.0.0", "--root", str(project))

    assert code == 0, output
    assert Releases(project).last == "2.0.0"


def test_it_must_have_a_guide_instead(project: Path) -> None:
    removed_since(project, "1.0.0")

    code, output = run("release", "2.0.0", "--root", str(project))

    assert (code, "CHANGELOG.md must have a guide under `### Migrating from 1.0.0`" in output) == (1, True)
    assert Releases(project).last == "1.0.0"


def test_the_guide_to_2_0_0_names_everything_that_clients_of_1_0_0_have_lost() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text()
    (guide,) = re.findall(r"^### Migrating from 1.0.0\n(.*?)^##", changelog, re.MULTILINE | re.DOTALL)
    released = ROOT / "releases" / "2.0.0.graphql"
    old = build_schema((ROOT / "releases" / "1.0.0.graphql").read_text())
    new = build_schema(released.read_text() if released.exists() else SDL)
    lost = [change.coordinate for change in changes(old, new) if change.is_removal or "." not in change.coordinate]
    assert {"Order.date", "OrderDeleted"} <= {*lost}
    words = {*re.findall(r"\w+", guide)}
    added = new.type_map.keys()
    assert [name for name in lost if name not in added and not {*re.findall(r"\w+", name)} <= words] == []


@pytest.mark.parametrize("version", ["1.0.1", "1.1.0", "2.0.1", "2.1.0", "3.0.0"])
def test_what_breaks_clients_of_1_0_0_is_no_other_version(project: Path, version: str) -> None:
    removed_since(project, "1.0.0")
    (project / "CHANGELOG.md").write_text(GUIDED)

    code, output = run("release", version, "--root", str(project))

    assert (code, f"{version} can't follow 1.0.0. The changes are breaking, so use 2.0.0: make" in output) == (1, True)


@pytest.mark.parametrize(("last", "version"), [("1.1.0", "2.0.0"), ("2.0.0", "3.0.0"), ("1.0.1", "2.0.0")])
def test_no_other_step_may_remove_what_was_not_deprecated(project: Path, last: str, version: str) -> None:
    removed_since(project, last)
    (project / "CHANGELOG.md").write_text(GUIDED)

    code, output = run("release", version, "--root", str(project))

    assert code == 1
    assert "The last release did not deprecate it." in output
    assert "in an item under `### Breaking` that begins with `User.gone`" in output


def test_what_does_not_break_clients_of_1_0_0_needs_an_item_as_ever(project: Path) -> None:
    member = "union LogInResult = IncorrectCredentials | "
    released_with(project, member, "union LogInResult = ", "1.0.0")
    (project / "CHANGELOG.md").write_text(GUIDED)

    code, output = run("release", "1.1.0", "--root", str(project))

    assert (code, "`LogInResult.IncorrectCredentials`" in output) == (1, True)
    assert "can't follow" not in output
