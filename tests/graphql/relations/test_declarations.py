"""Each rule is declared once: without it, both execution paths answer otherwise, and still alike."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import orjson
import pytest
from graphql import GraphQLObjectType, get_named_type, is_leaf_type

from app.db import models
from app.db.statements import select_all, table_of, with_key_in_array
from app.graphql import node
from app.graphql.node import ByKey
from app.graphql.relations.declarations import Column, Pages, declaration_of
from app.graphql.schema import schema
from app.graphql.strawberry_internals import definition_of, graphql_schema
from app.orders import repository as orders
from app.security.viewer import Access
from tests.market import Market, gid
from tests.paths import Paths

FieldRule = tuple[str, str, Column | Pages]
RowRule = Callable[[pytest.MonkeyPatch], None]
"""Takes away a rule about which rows a viewer sees."""


def rules() -> Iterator[FieldRule]:
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


def document(rule: FieldRule, name: str) -> str:
    """Return a query, of this name, for the field: by the id of its object, or at the root."""
    type_name, field, _ = rule
    type_ = get_named_type(graphql_schema(schema).type_map[type_name].fields[field].type)  # type: ignore[attr-defined]  # an object
    selection = field if is_leaf_type(type_) else f"{field} {{ totalCount }}"
    if type_name == "Query":
        return f"query {name} {{ {selection} }}"
    return f"query {name}($id: ID!) {{ node(id: $id) {{ ... on {type_name} {{ {selection} }} }} }}"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule[0]}.{rule[1]}")
async def test_without_a_rule_both_paths_show_more(
    rule: FieldRule, paths: Paths, market: Market, monkeypatch: pytest.MonkeyPatch
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


def every(model: type[models.Base]) -> ByKey:
    """Return what looks up any row of a model."""
    return lambda _: select_all(model).where(with_key_in_array(table_of(model).c.id))


def replaced(name: str, attribute: str, everything: Any) -> RowRule:
    """Return what takes a rule away that a field at the root declares."""
    declaration = declared("Query", name)
    return lambda monkeypatch: monkeypatch.setattr(declaration, attribute, everything)


def shown_to_all(model: type[models.Base]) -> RowRule:
    """Return what takes the rule away that a type of nodes declares."""
    name = model.__name__
    shown = replace(node.node_named(name), by_key=every(model))
    return lambda monkeypatch: monkeypatch.setitem(node._BY_NAME, name, shown)


# Which rows a viewer sees: what takes the rule away where it is declared, and a query that shows the difference.
ROW_RULES: dict[str, tuple[RowRule, str]] = {
    "look-up": (replaced("order", "statement", every(models.Order)), "order(id: $order) { id }"),
    "list": (replaced("orders", "collection", orders.everyones), "orders { totalCount }"),
    "order": (shown_to_all(models.Order), "node(id: $order) { id }"),
    "part": (shown_to_all(models.StoreOrder), "node(id: $part) { id }"),
    "item": (shown_to_all(models.OrderItem), "node(id: $item) { id }"),
}


@pytest.mark.parametrize("rule", ROW_RULES)
async def test_without_a_rule_about_rows_both_paths_show_more(
    rule: str, paths: Paths, market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_away, selection = ROW_RULES[rule]
    order = await market.order(await market.user())
    item = await market.item(order, await market.product(store := await market.store()))
    stranger, part = await market.user(), await market.store_order(order, store)
    rows = {"order": order, "part": part, "item": item}
    variables = {name: gid(row) for name, row in rows.items() if f"${name}" in selection}
    head = "".join(f"(${name}: ID!)" for name in variables)
    restricted = await paths.ask(f"query Restricted{head} {{ {selection} }}", variables, user=stranger)

    take_away(monkeypatch)
    shown = await paths.ask(f"query Shown{head} {{ {selection} }}", variables, user=stranger)

    assert shown.data != restricted.data
