"""The contestants. To add one, declare how to start its server and what each scenario sends to it.

A server receives DATABASE_URL, SECRET_KEY, HOST and PORT in its environment. `scenarios.essence` must understand its
responses."""

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from benchmarks.scenarios import Case


@dataclass(frozen=True)
class Request:
    """A POST of JSON."""

    path: str
    body: Mapping[str, Any]

    def encoded(self, token: str | None) -> bytes:
        """Return the request as HTTP/1.1."""
        body = json.dumps(self.body, separators=(",", ":")).encode()
        lines = [f"POST {self.path} HTTP/1.1", "host: 127.0.0.1", "accept: application/json"]
        lines += ["content-type: application/json", f"content-length: {len(body)}"]
        lines += [f"authorization: Bearer {token}"] if token else []
        return "\r\n".join([*lines, "", ""]).encode() + body


@dataclass(frozen=True)
class Contestant:
    """A server that answers all or some of the scenarios."""

    name: str
    command: tuple[str, ...]
    requests: Mapping[str, Callable[[Case], Request]]
    """The request for a case, by scenario name."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Environment variables in addition to the database, the secret and the address."""


def _graphql(query: str, variables: Callable[[Case], Mapping[str, Any]] = lambda _: {}) -> Callable[[Case], Request]:
    text = " ".join(query.split())
    return lambda case: Request("/graphql", {"query": text, "variables": variables(case)})


_PRODUCT = "id name price { amount currency }"
_ORDER = f"id placedAt items {{ quantity product {{ {_PRODUCT} store {{ id name }} }} }}"
_PLACED = "id items { quantity product { name } }"

APP = Contestant(
    name="app",
    command=(sys.executable, "-m", "app", "serve", "--end-with-parent"),
    # No contestant logs a line for each request.
    environment={"APP_ENV": "production", "WORKERS": "1", "DATABASE_POOL_SIZE": "10", "LOG_LEVEL": "warning"},
    requests={
        "Q1": _graphql(f"{{ products(first: 50) {{ nodes {{ {_PRODUCT} store {{ id name city currency }} }} }} }}"),
        "Q2": _graphql(f"{{ orders(first: 20) {{ nodes {{ {_ORDER} }} }} }}"),
        "Q3": _graphql(
            f"query ($id: ID!) {{ order(id: $id) {{ {_ORDER} }} }}", lambda case: {"id": f"Order_{case.order_id}"}
        ),
        "Q4": _graphql(
            f"{{ stores(first: 10) {{ nodes {{ id name products(first: 20) {{ nodes {{ {_PRODUCT} }} }} }} }} }}"
        ),
        "M1": _graphql(
            f"""mutation ($input: PlaceOrderInput!) {{
                placeOrder(input: $input) {{ ... on PlaceOrderSuccess {{ order {{ {_PLACED} }} }} }}
            }}""",
            lambda case: {
                "input": {"items": [{"productId": f"Product_{key}", "quantity": 1} for key in case.product_ids]}
            },
        ),
    },
)

WITH_INTROSPECTION = replace(APP, environment={**APP.environment, "INTROSPECTION": "true"})

_PLAIN_ORDER = "id placedAt items { quantity product { id name price currency store { id name } } }"

TUTORIAL = Contestant(
    name="tutorial",
    command=(sys.executable, "-m", "benchmarks.tutorial"),
    requests={
        "Q1": _graphql("{ products(first: 50) { id name price currency store { id name city currency } } }"),
        "Q2": _graphql(f"{{ orders(first: 20) {{ {_PLAIN_ORDER} }} }}"),
        "Q3": _graphql(
            f"query ($id: UUID!) {{ order(id: $id) {{ {_PLAIN_ORDER} }} }}", lambda case: {"id": case.order_id}
        ),
        "Q4": _graphql("{ stores(first: 10) { id name products(first: 20) { id name price currency } } }"),
        "M1": _graphql(
            f"mutation ($productIds: [UUID!]!) {{ placeOrder(productIds: $productIds) {{ {_PLACED} }} }}",
            lambda case: {"productIds": case.product_ids},
        ),
    },
)

SQL = Contestant(
    name="sql",
    command=(sys.executable, "-m", "benchmarks.sql"),
    requests={
        "Q1": lambda _: Request("/Q1", {}),
        "Q2": lambda _: Request("/Q2", {}),
        "Q4": lambda _: Request("/Q4", {}),
        "Q3": lambda case: Request("/Q3", {"id": case.order_id}),
        "M1": lambda case: Request("/M1", {"productIds": case.product_ids}),
    },
)

CONTESTANTS = (APP, TUTORIAL, SQL)


def variant(text: str) -> Contestant:
    """Return the app under another name, with more environment variables: `app plain:FAST=False,OTHER=1`."""
    name, _, settings = text.partition(":")
    pairs = (setting.partition("=") for setting in settings.split(",") if setting)
    environment = {key.strip(): value for key, _, value in pairs}
    return replace(APP, name=name.strip(), environment={**APP.environment, **environment})
