"""Migrates a database to the schema of this version."""

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy.exc import DBAPIError

from app.db.migration_locks import Patience, is_lock_timeout
from app.db.models import Base
from app.settings import ROOT


class TablesInUse(Exception):
    """Operations locked a table for too long; the migration that needed it was rolled back."""


def alembic_config(url: str, announce: Callable[[str], None] | None = None) -> Config:
    """Return Alembic's configuration for the database at `url`; it calls `announce` at each step."""
    config = Config(ROOT / "alembic.ini", attributes={"announce": announce})
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    return config


def migrate(url: str, announce: Callable[[str], None]) -> None:
    """Run the missing migrations; if several processes do so at once, one does the work.
    TablesInUse if a table stays locked."""
    patience = Patience()
    while True:
        try:
            command.upgrade(alembic_config(url, announce), "head")
            return
        except DBAPIError as failure:
            if not is_lock_timeout(failure):
                raise
            if not patience.pause():
                raise TablesInUse from failure


def write(url: str, message: str) -> list[Path]:
    """Write a migration from the schema of the database to the models; return its file, or two files if a part of it
    takes long."""
    written = command.revision(alembic_config(url), message, autogenerate=True)
    scripts = written if isinstance(written, list) else [written]
    return [Path(script.path).relative_to(ROOT) for script in scripts if script is not None]


@cache
def _revisions() -> tuple[str | None, frozenset[str]]:
    """Return the newest revision of this version, and all of them."""
    scripts = ScriptDirectory.from_config(alembic_config(""))
    return scripts.get_current_head(), frozenset(script.revision for script in scripts.walk_revisions())


def newest_revision() -> str:
    """Return the newest revision of this version."""
    head, _ = _revisions()
    assert head is not None
    return head


def is_behind(revision: str | None) -> bool:
    """Return whether a database at this revision is missing migrations. An unknown revision belongs to a newer version
    that is being rolled out, whose schema must work with this one."""
    head, known = _revisions()
    return revision is None or (revision != head and revision in known)


def is_known(revision: str | None) -> bool:
    """Return whether this version knows the revision."""
    return revision in _revisions()[1]


@cache
def _partition() -> re.Pattern[str]:
    """Return the pattern of the names of partitions: that for what no other has, the first, and those of a period."""
    partitioned = [table.name for table in Base.metadata.tables.values() if "postgresql_partition_by" in table.kwargs]
    return re.compile(rf"({'|'.join(partitioned)})_(default|past|p\d+)")


def is_declared(name: str | None, kind: str, _: object) -> bool:
    """Return whether the models declare such an object: all but the partitions of a table."""
    return kind != "table" or name is None or _partition().fullmatch(name) is None
