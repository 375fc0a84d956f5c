"""Each rule is declared once: without it, both execution paths answer otherwise, and still alike."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import orjson
import pytest
from graphql import GraphQLObjectType, get_named_type, is_leaf_type

from app.db import models
from app.db.statements import select_all, table_of, with_key_in_array
from app.graphql.relations.declarations import Column, Pages, declaration_of
from app.graphql.schema import schema
from app.graphql.strawberry_internals import definition_of, graphql_schema
from app.orders import repository as orders
from app.security.viewer import Access, Viewer
from tests.market import Market, gid
from tests.paths import Paths

Rule = tuple[str, str, Column | Pages]


def rules() -> Iterator[Rule]:
    """Yield each field whose declaration restricts who sees it."""
    for type_ in graphql_schema(schema).type_map.values():
        if not isinstance(type_, GraphQLObjectType) or type_.name.startswith("__"):
            continue
        for name, field in type_.fields.items():
            match declaration_of(definition_of(field)):
                case Column(visible=visible) as declared if visible is not None:
                    yield type_.name, name, declared
                case Pages(visible=visible, access=access) as declared if visible or access is not Access.ANYONE:
                    yield type_.name, name, declared


RULES = list(rules())


def test_the_rules_are_those_that_the_schema_documents() -> None:
    assert {f"{type_name}.{name}" for type_name, name, _ in RULES} == {
        *("Query.auditEntries", "Query.orders", "Query.users"),
        *("Store.orders", "User.email", "User.orders"),
    }


def document(rule: Rule, name: str) -> str:
    """Return a query, of this name, for the field: by the id of its object, or at the root."""
    type_name, field, _ = rule
    type_ = get_named_type(graphql_schema(schema).type_map[type_name].fields[field].type)  # type: ignore[attr-defined]  # an object
    selection = field if is_leaf_type(type_) else f"{field} {{ totalCount }}"
    if type_name == "Query":
        return f"query {name} {{ {selection} }}"
    return f"query {name}($id: ID!) {{ node(id: $id) {{ ... on {type_name} {{ {selection} }} }} }}"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule[0]}.{rule[1]}")
async def test_without_a_rule_both_paths_show_more(
    rule: Rule, paths: Paths, market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, stranger = await market.user(), await market.user()
    store = await market.store(owner)
    await market.order(owner, await market.product(store))
    variables = {"id": gid(store if rule[0] == "Store" else owner)} if rule[0] != "Query" else None
    viewer = None if rule[1] == "orders" and rule[0] == "Query" else stranger
    restricted = await paths.agree(document(rule, "Restricted"), variables, user=viewer)

    monkeypatch.setattr(rule[2], "visible", None)
    if isinstance(rule[2], Pages):
        monkeypatch.setattr(rule[2], "access", Access.ANYONE)
    shown = await paths.agree(document(rule, "Shown"), variables, user=viewer)

    assert shown.was_compiled
    assert not shown.has_errors
    assert orjson.loads(shown.resolver)["data"] != orjson.loads(restricted.resolver)["data"]


def declared(type_name: str, name: str) -> Any:
    type_ = graphql_schema(schema).type_map[type_name]
    assert isinstance(type_, GraphQLObjectType)
    return declaration_of(definition_of(type_.fields[name]))


def every_order(_: Viewer | None) -> Any:
    return select_all(models.Order).where(with_key_in_array(table_of(models.Order).c.id))


SUPERUSER = Viewer(id=UUID(int=0), is_superuser=True)
# Which rows a viewer sees: where the rule is declared, what to put in its place, and a query that shows the difference.
ROW_RULES: dict[str, tuple[Any, str, Any, str]] = {
    "look-up": (declared("Query", "order"), "statement", every_order, "order(id: $id) { id }"),
    "items": (
        declared("Order", "items"),
        "statement",
        lambda _: orders.visible_items(SUPERUSER),
        "node(id: $id) { ... on Order { items { quantity } } }",
    ),
    "totals": (
        declared("Order", "totals"),
        "statement",
        lambda _: orders.visible_totals(SUPERUSER),
        "node(id: $id) { ... on Order { totals { amount } } }",
    ),
    "list": (declared("Query", "orders"), "collection", orders.everyones, "orders { totalCount }"),
}


@pytest.mark.parametrize("rule", ROW_RULES)
async def test_without_a_rule_about_rows_both_paths_show_more(
    rule: str, paths: Paths, market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    declaration, attribute, everything, selection = ROW_RULES[rule]
    customer, seller, stranger = [await market.user() for _ in range(3)]
    mine, other = [await market.product(await market.store(owner)) for owner in (seller, customer)]
    order = await market.order(customer, mine, other)
    viewer, variables = seller if rule in ("items", "totals") else stranger, {"id": gid(order)}
    head = "($id: ID!)" if "$id" in selection else ""
    restricted = await paths.ask(f"query Restricted{head} {{ {selection} }}", variables, user=viewer)

    monkeypatch.setattr(declaration, attribute, everything)
    shown = await paths.ask(f"query Shown{head} {{ {selection} }}", variables, user=viewer)

    assert shown.data != restricted.data
