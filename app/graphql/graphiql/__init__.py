"""GraphiQL at the GraphQL endpoint, served by this application alone: nothing is loaded from another host."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template

from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from app.graphql.graphiql.manifest import FOLDER, assets, integrity

__all__ = ["page", "routes"]

OWN_FILES = ("graphiql.css", "graphiql.js")
MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript"}
TAGS = {
    ".css": '<link rel="stylesheet" href="{url}" integrity="{integrity}">',
    ".js": '<script defer src="{url}" integrity="{integrity}"></script>',
}
POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    # GraphiQL's dialogs and CodeMirror's search field style themselves inline.
    "style-src": "'self' 'unsafe-inline'",
    "img-src": "'self' data:",
    "font-src": "data:",
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}
PAGE_HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "; ".join(f"{name} {sources}" for name, sources in POLICY.items()),
    "Referrer-Policy": "same-origin",
    "Vary": "Accept",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
FILE_HEADERS = {
    "Cache-Control": "public, max-age=31536000, immutable",
    "X-Content-Type-Options": "nosniff",
}


def page(endpoint: str = "/graphql") -> HTMLResponse:
    """GraphiQL for `endpoint`; while its files are missing, how to install them."""
    installed = all(asset.location.is_file() for asset in assets())
    template, status = ("page.html", 200) if installed else ("missing.html", 503)
    return HTMLResponse(_render(template, endpoint), status, PAGE_HEADERS)


def routes(endpoint: str = "/graphql") -> list[BaseRoute]:
    """The route of the files that the page of `endpoint` loads."""
    return [Route(f"{endpoint}/assets/{{path:path}}", _serve)]


@dataclass(frozen=True, slots=True)
class _File:
    """A file of the page; its path names its version, so a cached copy is never stale."""

    path: str
    location: Path
    integrity: str

    def tag(self, assets_url: str) -> str:
        """The HTML element that loads the file."""
        return TAGS[self.location.suffix].format(url=f"{assets_url}/{self.path}", integrity=self.integrity)


def _files() -> Iterator[_File]:
    """All the page loads, in this order: ours come last, to use and to override the others."""
    for asset in assets():
        yield _File(asset.path, asset.location, asset.integrity)
    for name in OWN_FILES:
        content = (FOLDER / name).read_bytes()
        version = hashlib.sha256(content).hexdigest()[:12]
        yield _File(f"page@{version}/{name}", FOLDER / name, integrity(content))


async def _serve(request: Request) -> Response:
    """Answer with a file of the page; any other path does not exist, wherever it may lead."""
    served = {file.path: file.location for file in _files()}
    location = served.get(request.path_params["path"])
    if location is None or not location.is_file():
        return PlainTextResponse("Not Found", 404, {"Cache-Control": "no-store"})
    return FileResponse(location, headers=FILE_HEADERS, media_type=MEDIA_TYPES[location.suffix])


def _render(template: str, endpoint: str) -> str:
    endpoint = escape(endpoint)
    tags = [file.tag(f"{endpoint}/assets") for file in _files()]
    html = (FOLDER / template).read_text(encoding="utf-8")
    return Template(html).substitute(endpoint=endpoint, files="\n    ".join(tags))
