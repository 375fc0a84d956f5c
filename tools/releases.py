"""Releases: compares the schema with the last one and makes new ones. `python -m tools.releases`."""

import re
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

import typer
from graphql import GraphQLSchema, build_schema
from packaging.version import Version

from app.db.migrations import newest_revision
from app.graphql.schema import schema_sdl
from app.settings import ROOT
from tools import schema_changes
from tools.schema_changes import Change, Effect, changes

UNRELEASED = "Unreleased"
# The one exception: 2.0.0 may break clients of 1.0.0 without a prior deprecation and without an item for each change.
# It gave every mutation an input and a success of its own, so a guide helps clients more than hundreds of items.
# Never add another step: deprecate, then remove.
EXEMPT_LAST, EXEMPT_NEXT = "1.0.0", "2.0.0"
GUIDE = f"Migrating from {EXEMPT_LAST}"
_VERSION = re.compile(r"(?:0|[1-9]\d*)(?:\.(?:0|[1-9]\d*)){2}")
_PYPROJECT_VERSION = re.compile(r'^version = "(.+)"$', re.MULTILINE)

cli = typer.Typer(help="Compare the schema with the last release, and make releases.", add_completion=False)
Root = Annotated[Path, typer.Option(help="The directory of the changelog, `releases` and pyproject.toml.")]


class Releases:
    """The files of a project that describe its releases."""

    def __init__(self, root: Path) -> None:
        self.changelog_file = root / "CHANGELOG.md"
        self.pyproject_file = root / "pyproject.toml"
        self.folder = root / "releases"

    @property
    def last(self) -> str:
        """The version of the last release."""
        return max((file.stem for file in self.folder.glob("*.graphql")), key=Version)

    @property
    def schema(self) -> GraphQLSchema:
        """The schema of the last release."""
        return build_schema((self.folder / f"{self.last}.graphql").read_text(encoding="utf-8"))

    @property
    def last_revision(self) -> str:
        """The newest migration of the last release."""
        return (self.folder / f"{self.last}.revision").read_text(encoding="utf-8").strip()

    @property
    def unreleased(self) -> str:
        """The section of the changelog about unreleased changes."""
        changelog = self.changelog_file.read_text(encoding="utf-8")
        section = re.search(rf"^## {UNRELEASED}\n(.*?)(?=^## |\Z)", changelog, re.MULTILINE | re.DOTALL)
        return section[1] if section else ""

    def objections(self, schema: GraphQLSchema, today: date) -> list[str]:
        """Return the reasons against releasing this schema."""
        last, documented = self.schema, schema_changes.documented_in(self.unreleased)
        found = changes(last, schema)
        if is_exempt(self.last, found):
            against = [] if GUIDE in documented else [f"CHANGELOG.md must have a guide under `### {GUIDE}`."]
        else:
            against = [*schema_changes.objections(found, documented, last, today)]
        return [
            *against,
            *schema_changes.short_notices(last, schema, today),
            *schema_changes.malformed_deprecations(schema),
        ]

    def make(self, version: str, sdl: str, revision: str, today: date) -> None:
        """Turn the unreleased changes into a release."""
        heading = f"## {UNRELEASED}\n"
        changelog = self.changelog_file.read_text(encoding="utf-8")
        released = f"{heading}\n## {version} ({today.isoformat()})\n"
        self.changelog_file.write_text(changelog.replace(heading, released, 1), encoding="utf-8")
        pyproject = self.pyproject_file.read_text(encoding="utf-8")
        written = _PYPROJECT_VERSION.sub(f'version = "{version}"', pyproject, count=1)
        self.pyproject_file.write_text(written, encoding="utf-8")
        (self.folder / f"{version}.graphql").write_text(sdl, encoding="utf-8")
        (self.folder / f"{version}.revision").write_text(f"{revision}\n", encoding="utf-8")


def is_exempt(last: str, found: list[Change]) -> bool:
    """Return whether this is the step whose breaking changes need no deprecation and no item each."""
    return last == EXEMPT_LAST and _is_breaking(found)


def is_next(version: str, last: str, found: list[Change]) -> bool:
    """Return whether a release may have this version: a breaking change raises the first number, any other change the
    second, and no change the third."""
    if not _VERSION.fullmatch(version):
        return False
    if is_exempt(last, found):
        return version == EXEMPT_NEXT
    rising = _rising(found)
    return Version(version).release[: rising + 1] > Version(last).release[: rising + 1]


def why_not(version: str, last: str, found: list[Change]) -> str:
    """Say why a release may not have this version, and which one it may have."""
    rising = _rising(found)
    numbers = Version(last).release
    following = ".".join(map(str, (*numbers[:rising], numbers[rising] + 1, *[0] * (2 - rising))))
    why = ("The changes are breaking", "The schema has changed", "The schema hasn't changed")[rising]
    first = f"{version or 'An empty version'} can't follow {last}."
    return f"{first} {why}, so use {following}: make release v={following}"


def _rising(found: list[Change]) -> int:
    """Return which of the three numbers of the version rises."""
    return 0 if _is_breaking(found) else 1 if found else 2


def _is_breaking(found: list[Change]) -> bool:
    return any(change.effect is Effect.BREAKING for change in found)


@cli.command()
def diff(root: Root = ROOT) -> None:
    """List the changes to the schema since the last release; fail if the changelog is missing any."""
    releases, schema = Releases(root), build_schema(schema_sdl())
    found = changes(releases.schema, schema)
    typer.echo(f"Since {releases.last}:" + ("" if found else " no changes."))
    for effect in Effect:
        if those := [change for change in found if change.effect is effect]:
            typer.echo(f"\n{effect.value}")
            for change in those:
                typer.echo(f"  {change.coordinate}: {change.description}")
    _fail_for(releases.objections(schema, _today()))


@cli.command()
def release(version: str, root: Root = ROOT) -> None:
    """Turn the unreleased changes into a release: write the changelog, the version and the schema."""
    releases, sdl = Releases(root), schema_sdl()
    reasons = releases.objections(build_schema(sdl), _today())
    if not releases.unreleased.strip():
        reasons.append("CHANGELOG.md lists no unreleased changes.")
    found = changes(releases.schema, build_schema(sdl))
    if not is_next(version, releases.last, found):
        reasons.append(why_not(version, releases.last, found))
    _fail_for(reasons)
    releases.make(version, sdl, newest_revision(), _today())
    typer.echo(f"Wrote CHANGELOG.md, pyproject.toml and releases/{version}.*. Commit them and tag v{version}.")


def _today() -> date:
    return datetime.now(UTC).date()


def _fail_for(reasons: list[str]) -> None:
    if reasons:
        typer.echo("\n" + "\n".join(reasons), err=True)
        raise typer.Exit(1)


if __name__ == "__main__":
    cli()
