"""Sample queries, each of which opens in GraphiQL."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import orjson

from app.global_ids import global_id
from app.web.front_page.repository import ListedProduct, Shop

_FOLDER = Path(__file__).parent / "queries"
_DEMO_ACCOUNT = {"email": "customer@example.com", "password": "open-sesame"}
_SOME_ACCOUNT = {"email": "you@example.com", "password": "…"}

Variables = Mapping[str, Any]


@dataclass(frozen=True)
class SampleQuery:
    """A document with its purpose, and variables to try it with."""

    name: str
    title: str
    about: str
    variables: Callable[[ListedProduct | None, Variables], Variables | None] = lambda _, __: {}
    """Makes variables of a product and an account; None if they need a product and there is none."""
    needs_login: bool = False

    @cached_property
    def document(self) -> str:
        """The text of the document."""
        return (_FOLDER / f"{self.name}.graphql").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Card:
    """A sample query as the page shows it."""

    query: SampleQuery
    variables: Variables | None

    @property
    def shown_variables(self) -> str:
        """The variables as indented JSON, "" if there are none."""
        return orjson.dumps(self.variables, option=orjson.OPT_INDENT_2).decode() if self.variables else ""

    def link(self, endpoint: str) -> str:
        """Return the URL that opens the query in GraphiQL."""
        parameters = {"query": self.query.document}
        if self.variables:
            parameters["variables"] = self.shown_variables
        if self.query.needs_login:
            parameters["login"] = "1"
        return f"{endpoint}?{urlencode(parameters, quote_via=quote)}"


def cards(shop: Shop | None, *, is_demo: bool) -> Iterator[Card]:
    """Yield the cards, with variables that refer to products in the shop."""
    product = shop.example if shop else None
    account = _DEMO_ACCOUNT if is_demo else _SOME_ACCOUNT
    for query in SAMPLE_QUERIES:
        yield Card(query, query.variables(product, account))


def _order(product: ListedProduct | None, account: Variables) -> Variables | None:
    if product is None:
        return None
    return {"account": account, "order": {"items": [{"productId": _id(product), "quantity": 1}]}}


def _id(product: ListedProduct) -> str:
    return global_id("Product", product.id)


SAMPLE_QUERIES = (
    SampleQuery(
        "newest", "What’s new", "The newest products, each with its store, in one request and one SQL statement."
    ),
    SampleQuery(
        "search",
        "Search for products",
        "Matches the beginnings of words and ignores case and accents: “creme” finds “Crème”.",
        lambda _, __: {"words": "creme"},
    ),
    SampleQuery(
        "stores",
        "Stores and their best offers",
        "A list within each item of a list, still in one SQL statement.",
        lambda _, __: {"cheapest": 3},
    ),
    SampleQuery(
        "order",
        "Log in and order",
        "Three operations in one tab. Run LogIn first; its token is then sent with PlaceOrder and MyOrders.",
        _order,
        needs_login=True,
    ),
    SampleQuery(
        "follow",
        "Watch it happen",
        "A subscription. Leave it running, order the product in another tab, and watch its stock go down.",
        lambda product, _: {"product": _id(product)} if product else None,
    ),
)
