"""What the web pages share: headers that confine them to this host, and files that browsers cache indefinitely."""

import hashlib
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from fastapi.responses import FileResponse, PlainTextResponse, Response

METHODS = ["GET", "HEAD"]
_MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript"}
_TAGS = {
    ".css": '<link rel="stylesheet" href="{url}" integrity="{integrity}">',
    ".js": '<script defer src="{url}" integrity="{integrity}"></script>',
}
_POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}
_FILE_HEADERS = {"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}


def page_headers(**more: str) -> dict[str, str]:
    """Return the headers of a page that loads nothing from other hosts; `style_src="…"` changes its policy."""
    policy = _POLICY | {name.replace("_", "-"): sources for name, sources in more.items()}
    return {
        "Cache-Control": "no-cache",
        "Content-Security-Policy": "; ".join(f"{name} {sources}" for name, sources in policy.items()),
        "Referrer-Policy": "same-origin",
        "Vary": "Accept",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
    }


@dataclass(frozen=True, slots=True)
class PageFile:
    """A file of a page; its path contains its version, so a cached copy is never stale."""

    path: str
    location: Path
    integrity: str

    def tag(self, base_url: str) -> str:
        """Return the HTML element that loads the file."""
        return _TAGS[self.location.suffix].format(url=f"{base_url}/{self.path}", integrity=self.integrity)


def own_file(location: Path) -> PageFile:
    """Return a file of ours, whose version is a hash of its content."""
    content = location.read_bytes()
    version = hashlib.sha256(content).hexdigest()[:12]
    return PageFile(f"page@{version}/{location.name}", location, integrity(content))


def served(files: Iterable[PageFile], path: str) -> Response:
    """Return one of the files; any other path is not found, wherever it leads."""
    locations = {file.path: file.location for file in files}
    location = locations.get(path)
    if location is None or not location.is_file():
        return PlainTextResponse("Not Found", 404, {"Cache-Control": "no-store"})
    return FileResponse(location, headers=_FILE_HEADERS, media_type=_MEDIA_TYPES[location.suffix])


def integrity(content: bytes) -> str:
    """Return the `integrity` attribute of this content."""
    return "sha384-" + b64encode(hashlib.sha384(content).digest()).decode()
