"""Migrates a database to the schema of this version."""

import re
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
"""How long a migration waits for a table; meanwhile everyone else, readers included, waits behind it."""


class TablesInUse(Exception):
    """Operations locked a table for too long; the migration that needed it was rolled back."""


_PARTITION = re.compile(r"events_(default|p\w+)")


def alembic_config(url: str, announce: Callable[[str], None] | None = None) -> Config:
    """Return Alembic's configuration for the database at `url`; it calls `announce` at each step."""
    config = Config(ROOT / "alembic.ini", attributes={"announce": announce})
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    return config


def migrate(url: str, announce: Callable[[str], None]) -> None:
    """Run the missing migrations; if several processes do so at once, one does the work.
    TablesInUse if a table stays locked."""
    try:
        command.upgrade(alembic_config(url, announce), "head")
    except DBAPIError as failure:
        if failure.orig is not None and isinstance(failure.orig.__cause__, LockNotAvailableError):
            raise TablesInUse from failure
        raise


def write(url: str, message: str) -> Path:
    """Write a migration from the schema of the database to the models; return its file."""
    script = command.revision(alembic_config(url), message, autogenerate=True)
    assert isinstance(script, Script)
    return Path(script.path).relative_to(ROOT)


@cache
def _revisions() -> tuple[str | None, frozenset[str]]:
    """Return the newest revision of this version, and all of them."""
    scripts = ScriptDirectory.from_config(alembic_config(""))
    return scripts.get_current_head(), frozenset(script.revision for script in scripts.walk_revisions())


def is_behind(revision: str | None) -> bool:
    """Return whether a database at this revision is missing migrations. An unknown revision belongs to a newer version
    that is being rolled out, whose schema must work with this one."""
    head, known = _revisions()
    return revision is None or (revision != head and revision in known)


def is_known(revision: str | None) -> bool:
    """Return whether this version knows the revision."""
    return revision in _revisions()[1]


def is_declared(name: str | None, kind: str, _: object) -> bool:
    """Return whether the models declare such an object: all but the partitions of a table."""
    return kind != "table" or name is None or _PARTITION.fullmatch(name) is None
