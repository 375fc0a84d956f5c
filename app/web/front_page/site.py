"""The front page over HTTP: rendered once for each look at the shop, and sent to whoever comes."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from app.db.engine import Database
from app.settings import Environment as Deployment
from app.settings import Settings, Trust
from app.web.front_page.ready import cards
from app.web.front_page.repository import Shop
from app.web.front_page.window import RETRY_AFTER_SECONDS, Window
from app.web.static import own_file, page_headers, served

_FOLDER = Path(__file__).parent
_ASSETS = "/welcome/assets"
_PAGE, _FRAGMENT, _TEXT = "welcome.html", "shop.html", "welcome.txt"
_HEADERS = page_headers()

_templates = Environment(
    loader=FileSystemLoader(_FOLDER / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


class _Rendered(NamedTuple):
    """A page as it is sent, and what it shows."""

    shop: Shop | None
    body: bytes
    etag: str


class Site:
    """The front page, the part of it that changes, and the files that it loads."""

    def __init__(self, window: Window, settings: Settings, endpoint: str) -> None:
        self._window = window
        self._endpoint = endpoint
        self._has_graphiql = settings.graphiql and settings.trusted_documents is not Trust.REQUIRE
        self._shows_schema = settings.introspection
        self._is_development = settings.app_env is Deployment.DEVELOPMENT
        self._files = [own_file(_FOLDER / "static" / name) for name in ("welcome.css", "welcome.js")]
        self._rendered: dict[str, _Rendered] = {}

    @property
    def routes(self) -> list[BaseRoute]:
        """Where all of it is."""
        return [
            Route("/", self._welcome),
            Route("/welcome/shop", self._shop),
            Route(f"{_ASSETS}/{{path:path}}", self._file),
        ]

    async def _welcome(self, request: Request) -> Response:
        """Answer with the page, in plain text to whoever does not ask for HTML, such as curl."""
        is_for_browser = "text/html" in request.headers.get("accept", "")
        return await self._answer(request, _PAGE if is_for_browser else _TEXT)

    async def _shop(self, request: Request) -> Response:
        """Answer with the part of the page that changes."""
        return await self._answer(request, _FRAGMENT)

    async def _file(self, request: Request) -> Response:
        return served(self._files, request.path_params["path"])

    async def _answer(self, request: Request, template: str) -> Response:
        """Answer with what a template makes of the shop; without a shop the page is there, and says so."""
        shop = await self._window.look()
        rendered = self._render(template, shop)
        if shop is None:
            headers, status = {**_HEADERS, "Cache-Control": "no-store", "Retry-After": str(RETRY_AFTER_SECONDS)}, 503
        else:
            headers = {**_HEADERS, "ETag": rendered.etag}
            # Among others, or marked as weak by a proxy that compresses.
            status = 304 if rendered.etag in request.headers.get("if-none-match", "") else 200
        media_type = "text/plain" if template == _TEXT else "text/html"
        return Response(b"" if status == 304 else rendered.body, status, headers, media_type)

    def _render(self, template: str, shop: Shop | None) -> _Rendered:
        """Return what a template makes of the shop, which is made once."""
        kept = self._rendered.get(template)
        if kept is None or kept.shop is not shop:
            text = _templates.get_template(template).render(
                shop=shop,
                cards=list(cards(shop, is_demo=self._is_development)),
                endpoint=self._endpoint,
                tags=[file.tag(_ASSETS) for file in self._files],
                has_graphiql=self._has_graphiql,
                shows_schema=self._shows_schema,
                is_development=self._is_development,
            )
            body = text.encode()
            kept = _Rendered(shop, body, f'"{hashlib.sha256(body).hexdigest()[:20]}"')
            self._rendered[template] = kept
        return kept


def routes(database: Database, settings: Settings, endpoint: str) -> Sequence[BaseRoute]:
    """Return the routes of the front page."""
    # How much is ordered is the business of who runs the shop, but for a shop to play with.
    window = Window(database, with_orders=settings.app_env is Deployment.DEVELOPMENT)
    return Site(window, settings, endpoint).routes
