"""GraphiQL at the GraphQL endpoint; it loads nothing from other hosts."""

from collections.abc import Iterator
from html import escape
from string import Template

from fastapi import APIRouter, Response
from fastapi.responses import HTMLResponse

from app.web.graphiql.manifest import FOLDER, assets
from app.web.static import METHODS, PageFile, own_file, page_headers, served

__all__ = ["files", "page"]

OWN_FILES = ("graphiql.css", "graphiql.js")
# GraphiQL's dialogs and CodeMirror's search field style themselves inline.
PAGE_HEADERS = page_headers(style_src="'self' 'unsafe-inline'", font_src="data:")


def page(endpoint: str = "/graphql") -> HTMLResponse:
    """Return GraphiQL for `endpoint`, or how to install it while its files are missing."""
    installed = all(asset.location.is_file() for asset in assets())
    template, status = ("page.html", 200) if installed else ("missing.html", 503)
    return HTMLResponse(_render(template, endpoint), status, PAGE_HEADERS)


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


def _render(template: str, endpoint: str) -> str:
    endpoint = escape(endpoint)
    tags = [file.tag(f"{endpoint}/assets") for file in _files()]
    html = (FOLDER / template).read_text(encoding="utf-8")
    return Template(html).substitute(endpoint=endpoint, files="\n    ".join(tags))
