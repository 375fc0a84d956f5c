"""Refuses migrations that would keep others waiting, or that can't be repeated. `python -m tools.migration_safety`.

squawk reads the SQL of each migration since the last release, names what is dangerous, and says what to write instead.
A migration that has good reason for it has a line such as `# squawk-ignore: ban-drop-column (nobody reads it)`.
"""

import io
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import typer
from alembic import command
from alembic.script import Script, ScriptDirectory

from app.db.migrations import alembic_config
from app.db.startup import OLDEST_POSTGRES
from app.settings import ROOT
from tools.releases import Releases

ADVICE = "The docs have the safe forms: docs/operations.md, Upgrades."
# `migrate` limits both for every statement.
_DONE_BY_MIGRATE = "require-lock-timeout,require-statement-timeout"
# Matters of taste, about which the models decide.
_TASTE = "prefer-bigint-over-int,prefer-bigint-over-smallint,prefer-text-field,prefer-timestamp-tz,prefer-identity"
_DECORATION = re.compile(r"\x1b(?:\[[\d;]*m|\]8;;[^\x1b]*\x1b\\)")  # colors and links
_IGNORED = re.compile(r"^\s*# squawk-ignore: ([\w-]+) \(.+\)$", re.MULTILINE)


def unreleased(since: str, scripts: ScriptDirectory) -> Iterator[Script]:
    """Yield the migrations after this revision, the oldest first."""
    newer = [script for script in scripts.walk_revisions(since, "heads") if script.revision != since]
    yield from reversed(newer)


def sql_of(script: Script) -> str:
    """Return the SQL of a migration, with its exceptions in the form of squawk."""
    config = alembic_config("postgresql+asyncpg://")
    config.output_buffer = sql = io.StringIO()
    command.upgrade(config, f"{script.down_revision}:{script.revision}", sql=True)
    exceptions = _IGNORED.findall(Path(script.path).read_text(encoding="utf-8"))
    return "".join(f"-- squawk-ignore-file {rule}\n" for rule in exceptions) + sql.getvalue()


def objections(sql: dict[str, str]) -> str:
    """Return what is dangerous in these texts, by their names, as engineers read it; "" if nothing is."""
    squawk = shutil.which("squawk", path=str(Path(sys.executable).parent)) or "squawk"
    with TemporaryDirectory() as folder:
        for name, text in sql.items():
            (Path(folder) / f"{name}.sql").write_text(text, encoding="utf-8")
        files = [f"{name}.sql" for name in sql]
        found = subprocess.run(
            [squawk, f"--pg-version={OLDEST_POSTGRES}", f"--exclude={_DONE_BY_MIGRATE},{_TASTE}", *files],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
    return _DECORATION.sub("", found.stdout + found.stderr) if found.returncode else ""


def check() -> None:
    """Refuse what is dangerous in the migrations since the last release."""
    scripts = ScriptDirectory.from_config(alembic_config(""))
    newer = {Path(script.path).stem: sql_of(script) for script in unreleased(Releases(ROOT).last_revision, scripts)}
    if newer and (reasons := objections(newer)):
        typer.echo(f"{reasons}\n{ADVICE}", err=True)
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(check)
