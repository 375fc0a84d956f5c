"""GraphiQL at the GraphQL endpoint; it loads nothing from other hosts."""

import json
from collections.abc import Iterator
from functools import cache
from html import escape
from pathlib import Path
from string import Template
from typing import NamedTuple

from fastapi import APIRouter, Response
from fastapi.responses import HTMLResponse

from app.web.static import METHODS, PageFile, integrity, own_file, page_headers, served

FOLDER = Path(__file__).parent
ASSETS = FOLDER / "assets"
OWN_FILES = ("graphiql.css", "graphiql.js")
# GraphiQL's dialogs and CodeMirror's search field style themselves inline.
PAGE_HEADERS = page_headers(style_src="'self' 'unsafe-inline'", font_src="data:")


class Asset(NamedTuple):
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
def assets() -> list[Asset]:
    """Return every pinned file, in the order in which the page loads them."""
    packages = json.loads((FOLDER / "packages.json").read_text(encoding="utf-8"))
    return [
        Asset(package["name"], package["version"], *file) for package in packages for file in package["files"].items()
    ]


def page(endpoint: str = "/graphql") -> HTMLResponse:
    """Return GraphiQL for `endpoint`, or how to install it while its files are missing."""
    installed = all(asset.location.is_file() for asset in assets())
    template, status = ("page.html", 200) if installed else ("missing.html", 503)
    endpoint = escape(endpoint)
    tags = "\n    ".join(file.tag(f"{endpoint}/assets") for file in _files())
    html = Template((FOLDER / template).read_text(encoding="utf-8")).substitute(endpoint=endpoint, files=tags)
    return HTMLResponse(html, status, PAGE_HEADERS)


def files(endpoint: str = "/graphql") -> APIRouter:
    """Return the route of the files that the page loads."""
    router = APIRouter()

    @router.api_route(f"{endpoint}/assets/{{path:path}}", methods=METHODS)
    async def file(path: str) -> Response:
        return served(_files(), path)

    return router


def _files() -> Iterator[PageFile]:
    """Yield the files in the order in which the page loads them; ours come last and override the others."""
    for asset in assets():
        yield PageFile(asset.path, asset.location, asset.integrity)
    for name in OWN_FILES:
        yield own_file(FOLDER / name)
