"""The third-party files of the page: their packages, hashes and locations."""

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
        """The package as npm names it: name and exact version."""
        return f"{self.package}@{self.version}"

    @property
    def path(self) -> str:
        """The path of the file below the assets folder and its URL."""
        return f"{self.spec}/{self.file}"

    @property
    def location(self) -> Path:
        """The location of the installed file."""
        return ASSETS / self.path

    def holds(self, content: bytes) -> bool:
        """Return whether `content` matches the pinned hash."""
        return integrity(content) == self.integrity


@cache
def assets() -> tuple[Asset, ...]:
    """Return every pinned file, in the order in which the page loads them."""
    return tuple(_read_packages())


def _read_packages() -> Iterator[Asset]:
    for package in json.loads((FOLDER / "packages.json").read_text(encoding="utf-8")):
        for file, expected in package["files"].items():
            yield Asset(package["name"], package["version"], file, expected)
