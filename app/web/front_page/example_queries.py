"""Example queries, each of which opens in GraphiQL."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

import orjson

from app.global_ids import global_id
from app.web.front_page.repository import Shop

_FOLDER = Path(__file__).parent / "queries"
_DEMO_ACCOUNT = {"email": "customer@example.com", "password": "open-sesame"}
_SOME_ACCOUNT = {"email": "you@example.com", "password": "…"}


class Card(NamedTuple):
    """An example query with its purpose, and variables to try it with."""

    name: str
    title: str
    about: str
    variables: Mapping[str, Any] | None = {}
    """None if they need a product and there is none."""
    needs_login: bool = False

    @property
    def document(self) -> str:
        """The text of the document."""
        return (_FOLDER / f"{self.name}.graphql").read_text(encoding="utf-8")

    @property
    def shown_variables(self) -> str:
        """The variables as indented JSON, "" if there are none."""
        return orjson.dumps(self.variables, option=orjson.OPT_INDENT_2).decode() if self.variables else ""

    def link(self, endpoint: str) -> str:
        """Return the URL that opens the query in GraphiQL."""
        parameters = {"query": self.document}
        if self.variables:
            parameters["variables"] = self.shown_variables
        if self.needs_login:
            parameters["login"] = "1"
        return f"{endpoint}?{urlencode(parameters, quote_via=quote)}"


def cards(shop: Shop | None, *, is_demo: bool) -> list[Card]:
    """Return the cards, with variables that refer to a product in the shop."""
    product = shop.example if shop else None
    key = product and global_id("Product", product.id)
    account = _DEMO_ACCOUNT if is_demo else _SOME_ACCOUNT
    order = {"account": account, "order": {"items": [{"productId": key, "quantity": 1}]}}
    return [
        Card("newest", "What’s new", "The newest products, each with its store, in one request and one SQL statement."),
        Card(
            "search",
            "Search for products",
            "Matches the beginnings of words and ignores case and accents: “creme” finds “Crème”.",
            {"words": "creme"},
        ),
        Card(
            "stores",
            "Stores and their best offers",
            "A list within each item of a list, still in one SQL statement.",
            {"cheapest": 3},
        ),
        Card(
            "order",
            "Log in and order",
            "Three operations in one tab. Run LogIn first; its token is then sent with PlaceOrder and MyOrders.",
            order if key else None,
            needs_login=True,
        ),
        Card(
            "follow",
            "Watch it happen",
            "A subscription. Leave it running, order the product in another tab, and watch its stock go down.",
            {"product": key} if key else None,
        ),
    ]
