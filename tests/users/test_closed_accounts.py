"""Nobody but superusers, who look for it, sees a closed account: whatever leads to it."""

from datetime import UTC, datetime
from functools import cache
from typing import Any

import orjson
import pytest
from graphql import GraphQLObjectType, get_named_type, is_leaf_type, is_required_argument
from graphql.type import GraphQLField

from app.db.models import User
from app.graphql.schema import schema
from tests.market import Market, gid
from tests.paths import Paths

DEPTH = 7  # order, storeOrders, items, product, store, owner, and the name
SECRETS = {"full_name": "Closed Account", "email": "closed@example.com"}
ROOTS = {"order": "order", "product": "product", "store": "store", "user": "owner"}


@cache
def selection(type_: GraphQLObjectType, depth: int, above: tuple[str, ...] = ()) -> str:
    """Return a selection of all fields down to this depth, and of no type within itself."""
    selected = (_selected(name, field, depth, (*above, type_.name)) for name, field in type_.fields.items())
    return "{ __typename " + " ".join(filter(None, selected)) + " }"


def _selected(name: str, field: GraphQLField, depth: int, above: tuple[str, ...]) -> str:
    named = get_named_type(field.type)
    if is_leaf_type(named):
        return name
    is_followed = depth > 0 and named.name not in above
    if not is_followed or any(map(is_required_argument, field.args.values())):
        return ""
    if not isinstance(named, GraphQLObjectType):
        return f"{name} {{ __typename }}"
    return f"{name} {selection(named, depth - 1, above)}"


def document(root: str) -> str:
    """Return a query for everything that is reached from this root field by an id."""
    query = schema._schema.query_type
    assert query is not None
    named = get_named_type(query.fields[root].type)
    assert isinstance(named, GraphQLObjectType)
    return f"query ($id: ID!) {{ {root}(id: $id) {selection(named, DEPTH)} }}"


@pytest.fixture
async def owner(market: Market) -> User:
    return await market.user(**SECRETS)


@pytest.mark.parametrize("is_superuser", [False, True], ids=["customer", "superuser"])
@pytest.mark.parametrize("root", ROOTS)
async def test_no_path_leads_to_a_closed_account(
    paths: Paths, market: Market, owner: User, root: str, is_superuser: bool
) -> None:
    store = await market.store(owner)
    product, customer = await market.product(store), await market.user()
    order = await market.order(customer, product)
    rows: dict[str, Any] = {"order": order, "product": product, "store": store, "owner": owner}
    viewer = await market.superuser() if is_superuser else customer
    assert SECRETS["full_name"] in await shown(paths, "store", gid(store), viewer)

    for row in (owner, store, product):
        row.deleted_at = datetime.now(UTC)
    await market.session.flush()

    text = await shown(paths, root, gid(rows[ROOTS[root]]), viewer)
    if root == "user" and is_superuser:
        assert SECRETS["full_name"] in text
    else:
        assert not [secret for secret in SECRETS.values() if secret in text]


async def shown(paths: Paths, root: str, id: str, viewer: User) -> str:
    """Return what both paths answer, without the errors of what the viewer may not see."""
    answers = await paths.ask(document(root), {"id": id}, user=viewer)
    assert orjson.loads(answers.compiled) == orjson.loads(answers.resolver)
    return answers.resolver.decode()
