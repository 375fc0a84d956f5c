"""The scenarios for every contestant, and how to compare responses."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from random import Random
from typing import Any

CASES = 1_000  # different requests per scenario, sent in turn
ITEMS = 3  # of an order that is placed
CUSTOMER, SUPERUSER = "customer", "superuser"


@dataclass(frozen=True)
class World:
    """What the benchmark knows about the database."""

    tokens: Mapping[str, str]
    """The access tokens of CUSTOMER and SUPERUSER."""
    order_ids: tuple[str, ...]
    """Orders to look up."""
    product_names: Mapping[str, str]
    """Names of products that never run out, by id."""


@dataclass(frozen=True)
class Case:
    """The variable parts of one request."""

    order_id: str = ""
    product_ids: tuple[str, ...] = ()


def _only_one(_: World) -> list[Case]:
    return [Case()]


def _order_ids(world: World) -> list[Case]:
    return [Case(order_id=order_id) for order_id in islice(world.order_ids, CASES)]


def _baskets(world: World) -> list[Case]:
    random, products = Random(1), list(world.product_names)
    return [Case(product_ids=tuple(random.sample(products, ITEMS))) for _ in range(CASES)]


@dataclass(frozen=True)
class Scenario:
    """A request that a client sends repeatedly."""

    name: str
    title: str
    root: str
    """The field of `data` with the result."""
    length: int | None = None
    """The length of the result if it is a list."""
    cases: Callable[[World], list[Case]] = _only_one
    user: str | None = None
    """The user whose token is sent."""
    writes: bool = False
    """Whether it creates orders."""


SCENARIOS = (
    Scenario("Q1", "50 products with their stores", "products", length=50),
    Scenario("Q2", "the 20 latest orders with items, products and stores", "orders", length=20, user=SUPERUSER),
    Scenario("Q3", "one order by id, the same inside", "order", cases=_order_ids, user=SUPERUSER),
    Scenario("Q4", "10 stores with 20 products each", "stores", length=10),
    Scenario("M1", "place an order of 3 items", "placeOrder", cases=_baskets, user=CUSTOMER, writes=True),
)


def essence(answer: Any) -> Any:
    """Normalize a response: contestants have different forms of lists, payloads, ids and prices."""
    if isinstance(answer, list):
        return [essence(part) for part in answer]
    if not isinstance(answer, dict):
        return answer
    if answer.keys() in ({"nodes"}, {"order"}):
        return essence(*answer.values())
    plain = {name: essence(part) for name, part in answer.items()}
    if isinstance(plain.get("price"), dict):
        plain |= {"price": plain["price"]["amount"], "currency": plain["price"]["currency"]}
    if "id" in plain:
        plain["id"] = plain["id"].rpartition("_")[2]
    if "placedAt" in plain:
        plain["placedAt"] = datetime.fromisoformat(plain["placedAt"])
    return plain


def placed(world: World, case: Case) -> Any:
    """Return the normalized order of M1 without its id, which cannot be predicted."""
    return {"items": [{"quantity": 1, "product": {"name": world.product_names[key]}} for key in case.product_ids]}
