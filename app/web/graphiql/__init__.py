"""GraphiQL at the GraphQL endpoint, served by this application alone: nothing is loaded from another host."""

from collections.abc import Iterator
from html import escape
from string import Template

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from app.web.graphiql.manifest import FOLDER, assets
from app.web.static import PageFile, own_file, page_headers, served

__all__ = ["page", "routes"]

OWN_FILES = ("graphiql.css", "graphiql.js")
# GraphiQL's dialogs and CodeMirror's search field style themselves inline.
PAGE_HEADERS = page_headers(style_src="'self' 'unsafe-inline'", font_src="data:")


def page(endpoint: str = "/graphql") -> HTMLResponse:
    """GraphiQL for `endpoint`; while its files are missing, how to install them."""
    installed = all(asset.location.is_file() for asset in assets())
    template, status = ("page.html", 200) if installed else ("missing.html", 503)
    return HTMLResponse(_render(template, endpoint), status, PAGE_HEADERS)


def routes(endpoint: str = "/graphql") -> list[BaseRoute]:
    """The route of the files that the page of `endpoint` loads."""
    return [Route(f"{endpoint}/assets/{{path:path}}", _serve)]


def _files() -> Iterator[PageFile]:
    """All the page loads, in this order: ours come last, to use and to override the others."""
    for asset in assets():
        yield PageFile(asset.path, asset.location, asset.integrity)
    for name in OWN_FILES:
        yield own_file(FOLDER / name)


async def _serve(request: Request) -> Response:
    """Answer with a file of the page."""
    return served(_files(), request.path_params["path"])


def _render(template: str, endpoint: str) -> str:
    endpoint = escape(endpoint)
    tags = [file.tag(f"{endpoint}/assets") for file in _files()]
    html = (FOLDER / template).read_text(encoding="utf-8")
    return Template(html).substitute(endpoint=endpoint, files="\n    ".join(tags))
