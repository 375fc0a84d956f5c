"""`node` and `nodes` are compiled for the types of their ids, and what is for superusers for superusers only."""

from random import Random
from typing import Any

import pytest

from app.graphql.operations import documents
from tests.graphql.compiled.operations import NODES as TYPES
from tests.graphql.compiled.world import Population
from tests.paths import Paths
from tests.statements import Statements

KEY = "01970000-0000-7000-8000-000000000abc"
FIELDS = """__typename id
  ... on User { email fullName stores(first: 2) { totalCount nodes { id name } } orders { totalCount } }
  ... on Store { name deletedAt owner { id email } products(last: 3) { nodes { id } pageInfo { hasPreviousPage } } }
  ... on Product { name price { amount currency } store { id deletedAt } }
  ... on Order { placedAt customer { id } items { id lineTotal { amount } } totals { amount currency } }
  ... on OrderItem { quantity product { id name store { owner { fullName } } } }
  ... on AuditEntry { operation entityId fields requestId createdAt actor { id email orders { totalCount } } }
"""
NODE = f"query ($id: ID!) {{ node(id: $id) {{ {FIELDS} }} }}"
NODES = f"query ($ids: [ID!]!) {{ nodes(ids: $ids) {{ {FIELDS} }} }}"
FOR_SUPERUSERS = {
    "users": "{ users { totalCount nodes { id email stores { totalCount } } pageInfo { endCursor hasNextPage } } }",
    "a page of users": "{ users(last: 2) { edges { cursor node { id } } pageInfo { hasPreviousPage } } }",
    "auditEntries": "{ auditEntries { totalCount nodes { id actor { id email } entityId fields operation } } }",
    "a page of entries": "{ auditEntries(first: 2) { edges { cursor node { fields } } pageInfo { hasNextPage } } }",
}
REFUSED = [
    ["", None],
    ["x"],
    [f"product_{KEY}"],
    [f"Nobody_{KEY}"],
    [f"Query_{KEY}"],
    [f"Store_{KEY}", f"Product_{KEY}\n"],
    [f"Store_{KEY}"] * 101,
]


@pytest.mark.parametrize("type_name", TYPES)
async def test_every_node_is_as_visible_as_before(paths: Paths, population: Population, type_name: str) -> None:
    for id in population.ids[type_name]:
        for viewer in population.viewers.values():
            assert (await paths.agree(NODE, {"id": id}, user=viewer)).was_compiled


async def test_many_nodes_of_all_types_come_in_the_order_of_their_ids(paths: Paths, population: Population) -> None:
    ids = [id for type_name in TYPES for id in population.ids[type_name]]
    for seed, viewer in enumerate(population.viewers.values()):
        for number in (1, 7, 100):
            chosen = Random(seed).choices(ids, k=number)  # some of them more than once
            assert (await paths.agree(NODES, {"ids": chosen}, user=viewer)).was_compiled


@pytest.mark.parametrize("query", [NODE, NODES])
async def test_nodes_are_one_statement_whatever_their_types(
    paths: Paths, population: Population, pooled_statements: Statements, query: str
) -> None:
    ids = [population.ids[type_name][0] for type_name in TYPES]

    assert (await paths.agree(query, {"ids": ids, "id": ids[0]}, user=population.viewers["superuser"])).was_compiled
    pooled_statements.clear()
    await paths.compiled.data(query, {"ids": ids, "id": ids[0]}, user=population.viewers["superuser"])

    assert len(paths.watch.statements) == 2  # one for each time it was asked
    assert pooled_statements == []


@pytest.mark.parametrize(
    "query",
    [
        "{ nodes(ids: []) { id } }",
        f'{{ nodes(ids: "Store_{KEY}") {{ id }} }}',
        f'query ($id: ID!) {{ nodes(ids: ["Product_{KEY}", $id]) {{ id __typename }} node(id: $id) {{ id }} }}',
        "query ($id: ID!) { a: node(id: $id) { ...N } b: nodes(ids: [$id]) { ...N } } fragment N on Node { id }",
        "query ($id: ID!) { node(id: $id) { ... on Store { ... on Node { id ... on Product { name } } } } }",
        "query ($id: ID!) { node(id: $id) { ... on Product { name } } store(id: $id) { name } }",
        "query ($id: ID!) { node(id: $id) { ... on Product { name } } node(id: $id) { ... on Store { name } } }",
        "query ($id: ID!) { node(id: $id) { ... on User @skip(if: true) { email } } }",
    ],
)
async def test_nodes_are_understood_in_every_form(paths: Paths, population: Population, query: str) -> None:
    variables = {"id": population.ids["Store"][0]} if "$id" in query else {}

    assert (await paths.agree(query, variables, user=population.viewers["customer"])).was_compiled


@pytest.mark.parametrize("ids", REFUSED)
async def test_ids_that_are_no_good_are_refused_by_the_resolver_path(paths: Paths, ids: list[Any]) -> None:
    for query, variables in ((NODES, {"ids": ids}), (NODE, {"id": ids[-1]})):
        answers = await paths.agree(query, variables)
        assert answers.has_errors or ids[-1] == f"Store_{KEY}"

    fine = [f"Store_{KEY}", f"Product_{KEY}"]
    assert (await paths.agree(NODES, {"ids": fine})).was_compiled
    assert (await paths.agree(NODE, {"id": fine[0]})).was_compiled


async def test_a_plan_serves_all_ids_of_a_type_and_those_of_no_other(paths: Paths, population: Population) -> None:
    superuser = population.viewers["superuser"]
    for _ in range(2):
        for type_name in TYPES:
            for id in population.ids[type_name][:3]:
                assert (await paths.agree(NODE, {"id": id}, user=superuser)).was_compiled

    assert len(paths.plans()) == len(TYPES)


async def test_a_plan_serves_any_number_of_ids_in_any_order(paths: Paths, population: Population) -> None:
    stores, products = population.ids["Store"], population.ids["Product"]
    for ids in ([*stores, *products], [products[0], stores[0]], [*products, stores[1], stores[1]]):
        assert (await paths.agree(NODES, {"ids": ids})).was_compiled
    assert len(paths.plans()) == 1

    for fewer in (stores[:1], stores, ()):
        assert (await paths.agree(NODES, {"ids": fewer})).was_compiled
    assert len(paths.plans()) == 3


async def test_plans_for_types_are_forgotten_as_others_are(
    paths: Paths, population: Population, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "_PLANS_KEPT", 20)
    for bits in range(1, documents._PLANS_KEPT + 5):
        chosen = [population.ids[type_name][0] for bit, type_name in enumerate(TYPES) if bits >> bit & 1]
        assert (await paths.agree(NODES, {"ids": chosen}, user=population.viewers["owner"])).was_compiled

    assert len(paths.plans()) == documents._PLANS_KEPT


async def test_ids_of_several_fields_choose_a_plan_together(paths: Paths, population: Population) -> None:
    query = f"query ($a: ID!, $b: ID!) {{ a: node(id: $a) {{ {FIELDS} }} b: node(id: $b) {{ {FIELDS} }} }}"
    kinds = ["Store", "Product", "Order"]
    for _ in range(2):
        for first in kinds:
            for second in kinds:
                ids = {"a": population.ids[first][0], "b": population.ids[second][0]}
                assert (await paths.agree(query, ids, user=population.viewers["superuser"])).was_compiled


async def test_a_type_that_is_not_compiled_does_not_spoil_the_others(paths: Paths, population: Population) -> None:
    many = " ".join(f"n{number:x}:id" for number in range(1000))
    query = f"query ($id: ID!) {{ node(id: $id) {{ id ... on Product {{ {many} }} }} }}"
    for _ in range(2):
        for type_name, compiled in (("Product", False), ("Store", True)):
            answers = await paths.agree(query, {"id": population.ids[type_name][0]})
            assert answers.was_compiled is compiled

    assert len(paths.plans()) == 2


@pytest.mark.parametrize("name", FOR_SUPERUSERS)
async def test_what_is_for_superusers_is_read_for_superusers_only(
    paths: Paths, population: Population, name: str
) -> None:
    for _ in range(2):
        for viewer in population.viewers.values():
            answers = await paths.agree(FOR_SUPERUSERS[name], user=viewer)
            is_superuser = viewer is not None and viewer.is_superuser
            assert answers.was_compiled
            assert answers.has_errors is not is_superuser
            assert is_superuser or (b"FORBIDDEN" if viewer else b"UNAUTHENTICATED") in answers.compiled
            assert bool(paths.watch.statements) is is_superuser


async def test_the_audit_trail_is_filtered_by_one_plan(paths: Paths, population: Population) -> None:
    query = """query ($filter: AuditFilter) {
      auditEntries(filter: $filter) { totalCount nodes { id entityId fields actor { fullName } } }
    }"""
    superuser = population.viewers["superuser"]
    for type_name in ("Store", "Product", "Order", "User"):
        filter = {"entityId": population.ids[type_name][0], "operation": "updateStore"}
        assert (await paths.agree(query, {"filter": filter}, user=superuser)).was_compiled
    assert len(paths.plans()) == 1

    for actor in population.ids["User"]:
        assert (await paths.agree(query, {"filter": {"actorId": actor}}, user=superuser)).was_compiled
    for wrong in ({"actorId": population.ids["Store"][0]}, {"entityId": "x"}, {"operation": "a\0"}):
        assert (await paths.agree(query, {"filter": wrong}, user=superuser)).has_errors
    assert len(paths.plans()) == 2
