"""A plan serves whoever asks and whatever is asked for, and never with another's rows or another's arguments."""

import weakref
from itertools import permutations
from typing import Any

import pytest

from app.graphql.operations import documents
from tests.garbage import without_collections
from tests.graphql.compiled.world import Population
from tests.paths import Paths

MINE = """{
  viewer { id email orders { totalCount nodes { id } } }
  orders { nodes { id customer { email } items { id } totals { amount } } }
  stores { nodes { owner { email } orders { totalCount } } }
}"""
VISIBLE = "query ($id: ID!) { order(id: $id) { id items { id } totals { amount } customer { email } } }"
SEARCH = "query ($filter: ProductFilter, $first: Int) { products(filter: $filter, first: $first) { nodes { id } } }"
FILTERS: list[Any] = [
    None,
    {},
    {"search": "apple"},
    {"search": "zebra"},
    {"search": "  "},
    {"search": None},
    {"inStock": True},
    {"inStock": False},
    {"price": {"gte": "10"}},
    {"price": {"lte": "10"}},
    {"price": {"gte": 1, "lte": None}},
    {"price": {}},
]


@pytest.mark.parametrize("names", [*permutations(["customer", "owner", "superuser", "anonymous"], 2)], ids="-".join)
async def test_the_same_document_shows_each_viewer_their_own(
    paths: Paths, population: Population, names: tuple[str, str]
) -> None:
    for name in (*names, names[0]):
        answers = await paths.agree(MINE, user=population.viewers[name])
        assert answers.was_compiled
        assert [error["path"] for error in answers.errors] == ([["orders"]] if name == "anonymous" else [])


async def test_two_customers_have_one_plan_and_other_rows(paths: Paths, population: Population) -> None:
    document = "{ orders { nodes { id customer { id } } } }"
    bodies = [await paths.agree(document, user=population.viewers[name]) for name in ("customer", "owner", "customer")]

    assert all(answers.was_compiled for answers in bodies)
    assert bodies[0].compiled == bodies[2].compiled
    assert bodies[0].compiled != bodies[1].compiled
    for name, answers in zip(("customer", "owner"), bodies, strict=False):
        others = {str(user.id) for other, user in population.viewers.items() if user and other != name}
        assert not any(other.encode() in answers.compiled for other in others)


@pytest.mark.parametrize("first", ["superuser", "customer", "other owner", "anonymous"])
async def test_every_order_is_as_visible_as_before(paths: Paths, population: Population, first: str) -> None:
    for order in population.ids["Order"]:
        for name in (first, *population.viewers):
            answers = await paths.agree(VISIBLE, {"id": order}, user=population.viewers[name])
            assert answers.was_compiled


async def test_the_same_document_with_other_variables(paths: Paths) -> None:
    for filter in [*FILTERS, *reversed(FILTERS)]:
        for variables in ({"filter": filter}, {"filter": filter, "first": 2}, {"filter": filter, "first": None}):
            answers = await paths.agree(SEARCH, variables)
            assert answers.was_compiled
    assert (await paths.agree(SEARCH, {})).was_compiled


@pytest.mark.parametrize(
    ("query", "refused", "fine"),
    [
        ("query ($v: Int) { products(first: $v) { totalCount } }", 101, 2),
        ("query ($v: ID!) { store(id: $v) { id } }", "x", "Store_01970000-0000-7000-8000-000000000000"),
        ("query ($v: String) { stores(filter: {search: $v}) { totalCount } }", "x" * 501, "apple"),
        ("query ($v: String) { products(after: $v) { totalCount } }", "x", None),
    ],
)
async def test_a_value_that_is_refused_does_not_spoil_the_document_for_others(
    paths: Paths, query: str, refused: Any, fine: Any
) -> None:
    assert (await paths.agree(query, {"v": refused})).has_errors

    assert (await paths.agree(query, {"v": fine})).was_compiled


async def test_other_values_of_a_shape_are_answered_by_one_plan(paths: Paths) -> None:
    query = """query ($text: String, $price: Decimal, $day: DateTime, $id: ID!) {
      products(filter: {search: $text, price: {gte: $price}}) { totalCount }
      store(id: $id) { orders(filter: {placedAt: {gte: $day}}) { totalCount } }
    }"""
    for number in range(1, 10):
        id = f"Store_01970000-0000-7000-8000-00000000000{number}"
        day = f"2026-01-0{number}T00:00:00Z"
        values = {"text": f"a{number}", "price": f"{number}.00", "day": day, "id": id}
        assert (await paths.agree(query, values)).was_compiled

    assert len(paths.plans()) == 1


async def test_another_page_size_is_another_plan(paths: Paths) -> None:
    for size in (1, 2, 1, 2):
        query = "query ($first: Int) { stores(first: $first) { nodes { name } pageInfo { hasNextPage } } }"
        assert (await paths.agree(query, {"first": size})).was_compiled

    assert len(paths.plans()) == 2


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> int:
    """How many documents paths keep that are opened from now on: fewer than otherwise."""
    monkeypatch.setattr(documents, "_DOCUMENTS_KEPT", 20)
    return 20


async def test_what_is_compiled_is_forgotten_with_its_document(kept: int, paths: Paths) -> None:
    await paths.compiled.data("{ stores(first: 1) { nodes { id } } }")
    assert paths.watch.operation is not None
    compiled = weakref.ref(paths.watch.operation)
    with without_collections():
        for number in range(kept):
            assert compiled() is not None
            await paths.compiled.data(f"{{ n{number}: __typename }}")
        assert compiled() is None


async def test_plans_of_a_document_are_forgotten(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "_PLANS_KEPT", 20)
    declared = ", ".join(f"$v{number}: Boolean = false" for number in range(9))
    query = f"query ({declared}) {{ {' '.join(f'a{n}: __typename @skip(if: $v{n})' for n in range(9))} }}"
    for number in range(5 * documents._PLANS_KEPT):
        variables = {f"v{bit}": bool(number >> bit & 1) for bit in range(9)}
        assert (await paths.compiled.send(query, variables)).status_code == 200

    assert len(paths.plans()) == documents._PLANS_KEPT
    await paths.agree(query, {"v1": True})


async def test_a_plan_refuses_a_field_to_those_without_a_login_only(paths: Paths, population: Population) -> None:
    for _ in range(2):
        for viewer, is_refused in (("anonymous", True), ("customer", False), ("superuser", False)):
            answers = await paths.agree("{ orders { totalCount } }", user=population.viewers[viewer])
            assert (answers.was_compiled, answers.has_errors) == (True, is_refused)

    assert len(paths.plans()) == 3


async def test_a_refused_field_has_one_plan_for_all_arguments_of_a_shape(paths: Paths, population: Population) -> None:
    query = "query ($after: String) { orders(after: $after) { totalCount } stores { nodes { name } } }"
    for cursor in ("a", "b", "x" * 100):
        answers = await paths.agree(query, {"after": cursor})
        assert (answers.was_compiled, answers.has_errors) == (True, True)

    assert len(paths.plans()) == 1


async def test_a_key_weighs_what_it_takes(paths: Paths) -> None:
    """A hundred products with other quantities each time have other shapes, and 20 kB of them."""
    query = "query ($input: PlaceOrderInput!) { quoteOrder(input: $input) { __typename } }"
    for number in range(3):
        items = [{"productId": "x", "quantity": 1 + number + each} for each in range(100)]
        await paths.ask(query, {"input": {"items": items}})

    assert paths.watch.operation is not None
    assert paths.watch.operation.plans.weight > 5_000
