"""The front page over HTTP: rendered once for each state of the shop."""

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Header, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from app.db.engine import Database
from app.settings import Environment as Deployment
from app.settings import Settings, Trust
from app.web.front_page.repository import Shop
from app.web.front_page.sample_queries import cards
from app.web.front_page.shop_cache import RETRY_AFTER_SECONDS, ShopCache
from app.web.static import METHODS, own_file, page_headers, served

_FOLDER = Path(__file__).parent
_ASSETS = "/welcome/assets"
_HEADERS = page_headers()

_templates = Environment(
    loader=FileSystemLoader(_FOLDER / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)

FILES = [own_file(_FOLDER / "static" / name) for name in ("welcome.css", "welcome.js")]


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
            headers, status = {**_HEADERS, "Cache-Control": "no-store", "Retry-After": str(RETRY_AFTER_SECONDS)}, 503
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
