"""The third-party files of the page: which packages they come from, what they hold, where they are kept."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from app.web.static import integrity

FOLDER = Path(__file__).parent
ASSETS = FOLDER / "assets"


@dataclass(frozen=True, slots=True)
class Asset:
    """One file of an npm package, pinned by version and content."""

    package: str
    version: str
    file: str
    integrity: str

    @property
    def spec(self) -> str:
        """What npm calls the package: name and exact version."""
        return f"{self.package}@{self.version}"

    @property
    def path(self) -> str:
        """Where the file is kept below the assets folder, and served below its URL."""
        return f"{self.spec}/{self.file}"

    @property
    def location(self) -> Path:
        """Where the file is on this machine once installed."""
        return ASSETS / self.path

    def holds(self, content: bytes) -> bool:
        """Whether `content` is exactly what this file must be."""
        return integrity(content) == self.integrity


@cache
def assets() -> tuple[Asset, ...]:
    """Every pinned file, in the order the page loads them."""
    return tuple(_read_packages())


def _read_packages() -> Iterator[Asset]:
    for package in json.loads((FOLDER / "packages.json").read_text(encoding="utf-8")):
        for file, expected in package["files"].items():
            yield Asset(package["name"], package["version"], file, expected)
