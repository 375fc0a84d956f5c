"""Queries to begin with, each of which opens in GraphiQL."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import orjson

from app.global_ids import global_id
from app.web.front_page.repository import ProductOnShow, Shop

_FOLDER = Path(__file__).parent / "queries"
_DEMO_ACCOUNT = {"email": "customer@example.com", "password": "open-sesame"}
_SOME_ACCOUNT = {"email": "you@example.com", "password": "…"}

Variables = Mapping[str, Any]


@dataclass(frozen=True)
class Ready:
    """A document, what it is good for, and the variables to try it with."""

    name: str
    title: str
    about: str
    variables: Callable[[ProductOnShow | None, Variables], Variables | None] = lambda _, __: {}
    """Of a product that can be ordered and an account; None: there must be such a product."""
    needs_login: bool = False

    @cached_property
    def document(self) -> str:
        """Its text."""
        return (_FOLDER / f"{self.name}.graphql").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Card:
    """A ready-made query as the page shows it."""

    ready: Ready
    variables: Variables | None

    @property
    def shown_variables(self) -> str:
        """The variables as JSON to read, "" where there are none."""
        return orjson.dumps(self.variables, option=orjson.OPT_INDENT_2).decode() if self.variables else ""

    def link(self, endpoint: str) -> str:
        """Return the URL at which GraphiQL opens with it."""
        parameters = {"query": self.ready.document}
        if self.variables:
            parameters["variables"] = self.shown_variables
        if self.ready.needs_login:
            parameters["login"] = "1"
        return f"{endpoint}?{urlencode(parameters, quote_via=quote)}"


def cards(shop: Shop | None, *, is_demo: bool) -> Iterator[Card]:
    """Yield the cards, with variables of things that are in the shop."""
    product = shop.example if shop else None
    account = _DEMO_ACCOUNT if is_demo else _SOME_ACCOUNT
    for ready in READY:
        yield Card(ready, ready.variables(product, account))


def _order(product: ProductOnShow | None, account: Variables) -> Variables | None:
    if product is None:
        return None
    return {"account": account, "order": {"items": [{"productId": _id(product), "quantity": 1}]}}


def _id(product: ProductOnShow) -> str:
    return global_id("Product", product.id)


READY = (
    Ready("newest", "What is new", "The newest products, each with its store: one request, one SQL statement."),
    Ready(
        "search",
        "Find something",
        "Words that begin words, whatever their case and accents: “creme” finds “Crème”.",
        lambda _, __: {"words": "creme"},
    ),
    Ready(
        "stores",
        "Stores and their best offers",
        "A list in each object of a list, which still is one statement.",
        lambda _, __: {"cheapest": 3},
    ),
    Ready(
        "order",
        "Log in and order",
        "Three operations in one tab. Run LogIn first; its token then goes with PlaceOrder and MyOrders by itself.",
        _order,
        needs_login=True,
    ),
    Ready(
        "follow",
        "Watch it happen",
        "A subscription: leave it running, order the product in another tab, and see its stock go down.",
        lambda product, _: {"product": _id(product)} if product else None,
    ),
)
