"""Brings a database to the schema that this code expects."""

from collections.abc import Callable
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import Script

from app.settings import ROOT


def alembic_config(url: str, announce: Callable[[str], None] | None = None) -> Config:
    """Return Alembic's configuration for the database at `url`; `announce` is told of each step."""
    config = Config(ROOT / "alembic.ini", attributes={"announce": announce})
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    return config


def migrate(url: str, announce: Callable[[str], None]) -> None:
    """Run the migrations that the database lacks; of several processes that do so at once, one does the work."""
    command.upgrade(alembic_config(url, announce), "head")


def write(url: str, message: str) -> Path:
    """Write a migration from the database at `url` to the models, and return its file."""
    script = command.revision(alembic_config(url), message, autogenerate=True)
    assert isinstance(script, Script)
    return Path(script.path).relative_to(ROOT)
