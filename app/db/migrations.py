"""Brings a database to the schema that this code expects."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import Script, ScriptDirectory
from asyncpg import LockNotAvailableError
from sqlalchemy.exc import DBAPIError

from app.settings import ROOT

LOCK_WAIT_MILLISECONDS = 5_000
"""How long a migration waits for a table: whoever comes after it waits as well, even to read."""


class TablesInUse(Exception):
    """Operations held on to a table for too long; the migration that needed it was undone."""


def alembic_config(url: str, announce: Callable[[str], None] | None = None) -> Config:
    """Return Alembic's configuration for the database at `url`; `announce` is told of each step."""
    config = Config(ROOT / "alembic.ini", attributes={"announce": announce})
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    return config


def migrate(url: str, announce: Callable[[str], None]) -> None:
    """Run the migrations that the database lacks; of several processes that do so at once, one does the work.
    TablesInUse where a table could not be had in time."""
    try:
        command.upgrade(alembic_config(url, announce), "head")
    except DBAPIError as failure:
        if failure.orig is not None and isinstance(failure.orig.__cause__, LockNotAvailableError):
            raise TablesInUse from failure
        raise


def write(url: str, message: str) -> Path:
    """Write a migration from the database at `url` to the models, and return its file."""
    script = command.revision(alembic_config(url), message, autogenerate=True)
    assert isinstance(script, Script)
    return Path(script.path).relative_to(ROOT)


@cache
def _revisions() -> tuple[str | None, frozenset[str]]:
    """Return the newest revision that this code knows, and all of them."""
    scripts = ScriptDirectory.from_config(alembic_config(""))
    return scripts.get_current_head(), frozenset(script.revision for script in scripts.walk_revisions())


def is_behind(revision: str | None) -> bool:
    """Tell whether a database at this revision lacks migrations. One that this code does not know is of a newer
    version, which is being rolled out: it must be able to live with the code before it."""
    head, known = _revisions()
    return revision is None or (revision != head and revision in known)


def is_known(revision: str | None) -> bool:
    """Tell whether this code knows the revision."""
    return revision in _revisions()[1]
