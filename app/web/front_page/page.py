"""The front page over HTTP: rendered once for each state of the shop."""

import asyncio
import hashlib
from functools import lru_cache
from pathlib import Path
from time import monotonic
from typing import Annotated

import structlog
from fastapi import APIRouter, Header, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from app.db.engine import Database, is_disconnection
from app.db.unit_of_work import UnitOfWork
from app.settings import Environment as Deployment
from app.settings import Settings, Trust
from app.web.front_page import repository
from app.web.front_page.example_queries import cards
from app.web.front_page.repository import Shop
from app.web.static import METHODS, own_file, page_headers, served

_FOLDER = Path(__file__).parent
_ASSETS = "/welcome/assets"
_HEADERS = page_headers()
_KEPT_SECONDS = 1.0
_REST = 20
"""A slow read is kept this many times as long as it took, so visitors use at most a twentieth of one connection."""
_RETRY_AFTER_SECONDS = 5
"""When a database that didn't answer is queried again."""
_PATIENCE_SECONDS = 3.0

log = structlog.get_logger(__name__)

_templates = Environment(
    loader=FileSystemLoader(_FOLDER / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)

FILES = [own_file(_FOLDER / "static" / name) for name in ("welcome.css", "welcome.js")]


class ShopCache:
    """The state of the shop, read from Postgres at most once a second however many visitors there are."""

    def __init__(self, database: Database, *, with_orders: bool) -> None:
        self._database = database
        self._with_orders = with_orders
        self._reading: asyncio.Task[Shop | None] | None = None
        self._fresh_until = 0.0

    async def current(self) -> Shop | None:
        """Return the shop as of a moment ago; None if the database cannot be read."""
        if self._reading is None or (self._reading.done() and monotonic() >= self._fresh_until):
            self._reading = asyncio.create_task(self._read())
        return await asyncio.shield(self._reading)

    async def _read(self) -> Shop | None:
        begun, work, rest = monotonic(), UnitOfWork(self._database), float(_RETRY_AFTER_SECONDS)
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                shop = await repository.shop(work, with_orders=self._with_orders)
            rest = max(_KEPT_SECONDS, _REST * (monotonic() - begun))
            return shop
        except Exception as failure:
            report = log.warning if isinstance(failure, TimeoutError) or is_disconnection(failure) else log.exception
            report("the front page cannot read the shop", reason=str(failure) or type(failure).__name__)
            return None
        finally:
            await work.close()
            self._fresh_until = monotonic() + rest


def front_page(database: Database, settings: Settings, endpoint: str) -> APIRouter:
    """Return the routes of the front page. Only development shows the number of orders."""
    is_development = settings.app_env is Deployment.DEVELOPMENT
    shops = ShopCache(database, with_orders=is_development)
    constants = {
        "endpoint": endpoint,
        "tags": [file.tag(_ASSETS) for file in FILES],
        "has_graphiql": settings.graphiql and settings.trusted_documents is not Trust.REQUIRE,
        "shows_schema": settings.introspection,
        "is_development": is_development,
        "takes_any_document": settings.trusted_documents is not Trust.REQUIRE,
    }

    @lru_cache(maxsize=3)  # each template once for each state of the shop
    def rendered(template: str, shop: Shop | None) -> tuple[bytes, str]:
        examples = cards(shop, is_demo=is_development)
        body = _templates.get_template(template).render(constants, shop=shop, cards=examples).encode()
        return body, f'"{hashlib.sha256(body).hexdigest()[:20]}"'

    async def response(template: str, if_none_match: str) -> Response:
        """Return a rendered template; without a database it says that the shop is unavailable."""
        shop = await shops.current()
        body, etag = rendered(template, shop)
        if shop is None:
            headers, status = {**_HEADERS, "Cache-Control": "no-store", "Retry-After": str(_RETRY_AFTER_SECONDS)}, 503
        else:
            headers = {**_HEADERS, "ETag": etag}
            # It may be one of several, or marked as weak by a proxy that compresses.
            status = 304 if etag in if_none_match else 200
        media_type = "text/plain" if template.endswith(".txt") else "text/html"
        return Response(b"" if status == 304 else body, status, headers, media_type)

    router = APIRouter()

    @router.api_route("/", methods=METHODS)
    async def welcome(accept: Annotated[str, Header()] = "", if_none_match: Annotated[str, Header()] = "") -> Response:
        # Clients that don't ask for HTML, such as curl, get plain text.
        return await response("welcome.html" if "text/html" in accept else "welcome.txt", if_none_match)

    @router.api_route("/welcome/shop", methods=METHODS)
    async def shop(if_none_match: Annotated[str, Header()] = "") -> Response:
        return await response("shop.html", if_none_match)

    @router.api_route(f"{_ASSETS}/{{path:path}}", methods=METHODS)
    async def file(path: str) -> Response:
        return served(FILES, path)

    return router
