"""What leaves a line in the audit trail, and what must not."""

import pytest
from argon2 import PasswordHasher
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.models import AuditEntry, User
from app.security import passwords
from tests.api import Api
from tests.audit.trail import REFRESH_TOKEN, Line, Shop, trail
from tests.idempotency.requests import keyed
from tests.market import PASSWORD, Market, gid
from tests.orders.operations import CANCEL, place
from tests.orders.operations import item as order_item
from tests.orders.store_orders import fulfill
from tests.products.changes import UPDATE, update
from tests.stores import operations as stores
from tests.triggers import create_trigger
from tests.users.operations import LOG_OUT, log_in, refresh

TWO_FIELDS = """
mutation ($product: ID!, $store: ID!, $taken: String!) {
  price: updateProduct(input: { id: $product, price: 2 }) { __typename }
  failed: updateStore(input: { id: $store, name: $taken, city: "Paris" }) { __typename }
  phone: updateStore(input: { id: $store, phone: "+49 30 1234567" }) { __typename }
  stock: setStock(input: { productId: $product, stock: 7 }) { __typename }
}
"""
THEN_FORBIDDEN = """
mutation ($product: ID!, $order: ID!) {
  updateProduct(input: { id: $product, price: 2 }) { __typename }
  deleteOrder(input: { id: $order }) { __typename }
}
"""
UNREADABLE = """
mutation ($store: ID!) {
  updateStore(input: { id: $store, city: "Paris" }) {
    ... on UpdateStoreSuccess { store { products(first: 1000) { totalCount } } }
  }
}
"""


async def test_a_query_leaves_no_line(shop: Shop, connection: AsyncConnection) -> None:
    await shop.api.data("{ viewer { id orders { nodes { id } } } }", user=shop.customer)

    assert await trail(connection) == []


async def test_each_field_leaves_lines_of_its_own_and_one_that_failed_none(
    shop: Shop, connection: AsyncConnection
) -> None:
    taken = await shop.market.store(shop.owner)
    variables = {"product": gid(shop.product), "store": gid(shop.store), "taken": taken.name}

    data = await shop.api.data(TWO_FIELDS, variables, user=shop.owner)

    assert data["failed"] == {"__typename": "Conflict"}
    assert await trail(connection) == [
        Line("updateProduct", gid(shop.owner), gid(shop.product), "price"),
        Line("updateStore", gid(shop.owner), gid(shop.store), "phone"),
        Line("setStock", gid(shop.owner), gid(shop.product), "stock"),
    ]


async def test_a_field_that_is_forbidden_leaves_no_line_and_the_others_keep_theirs(
    shop: Shop, connection: AsyncConnection
) -> None:
    variables = {"product": gid(shop.product), "order": gid(shop.order)}

    error = await shop.api.error(THEN_FORBIDDEN, variables, user=shop.owner)

    assert error["code"] == "FORBIDDEN"
    assert await trail(connection) == [Line("updateProduct", gid(shop.owner), gid(shop.product), "price")]


async def test_a_field_that_met_an_unforeseen_failure_leaves_no_line_and_the_others_keep_theirs(
    shop: Shop, connection: AsyncConnection
) -> None:
    fail = "IF NEW.operation = 'updateStore' THEN RAISE 'the power went off'; END IF"
    await create_trigger(connection, "INSERT ON audit_entries", fail)
    variables = {"product": gid(shop.product), "store": gid(shop.store), "taken": "A new name"}

    result = await shop.api.execute(TWO_FIELDS, variables, user=shop.owner)

    assert [alias for alias, payload in result["data"].items() if payload is None] == ["failed", "phone"]
    assert [error["extensions"]["code"] for error in result["errors"]] == ["INTERNAL_SERVER_ERROR"] * 2
    assert await trail(connection) == [
        Line("updateProduct", gid(shop.owner), gid(shop.product), "price"),
        Line("setStock", gid(shop.owner), gid(shop.product), "stock"),
    ]


async def test_what_was_done_leaves_its_line_even_if_the_result_cannot_be_read(
    shop: Shop, connection: AsyncConnection
) -> None:
    error = await shop.api.error(UNREADABLE, {"store": gid(shop.store)}, user=shop.owner)

    assert (error["code"], error["extensions"]["cause"]) == ("PAYLOAD_UNREADABLE", "BAD_USER_INPUT")
    assert (await shop.market.reload(shop.store)).city == "Paris"
    assert await trail(connection) == [Line("updateStore", gid(shop.owner), gid(shop.store), "city")]


async def test_nobody_who_must_log_in_first_leaves_a_line(shop: Shop, connection: AsyncConnection) -> None:
    error = await shop.api.error(CANCEL, {"id": gid(shop.order)})

    assert error["code"] == "UNAUTHENTICATED"
    assert await trail(connection) == []


async def test_a_line_tells_which_request_and_when(shop: Shop, connection: AsyncConnection) -> None:
    variables = {"input": {"id": gid(shop.product), "price": "2"}}

    chosen = {"X-Request-ID": "chosen-by-the-client"}
    response = await shop.api.send(UPDATE, variables, user=shop.owner, headers={**keyed(), **chosen})

    (entry,) = (await connection.execute(select(AuditEntry.__table__))).all()
    assert entry.request_id == response.headers["X-Request-ID"]
    assert entry.created_at == await connection.scalar(select(func.now()))


async def test_all_that_an_operation_does_to_an_entity_is_one_line(shop: Shop, connection: AsyncConnection) -> None:
    await place(shop.api, shop.customer, order_item(shop.product), order_item(await shop.market.product(shop.store)))

    (line,) = await trail(connection)
    assert line.fields == "customerId items"


async def test_values_that_are_what_they_were_are_not_told(shop: Shop, connection: AsyncConnection) -> None:
    store = shop.store

    await stores.update(shop.api, shop.owner, store, name=store.name, city="Paris", street=store.street)

    assert await trail(connection) == [Line("updateStore", gid(shop.owner), gid(store), "city")]


NOTHING = {
    "updateUser": 'updateUser(input: { id: $owner, fullName: "Ada", email: "ada@example.com" })',
    "updateUser without fields": "updateUser(input: { id: $owner })",
    "updateStore": 'updateStore(input: { id: $store, city: "Berlin", name: "Tea" })',
    "updateStore without fields": "updateStore(input: { id: $store })",
    "updateProduct": 'updateProduct(input: { id: $product, name: "Cup", price: "10.00" })',
    "updateProducts": 'updateProducts(input: { products: [{ id: $product, name: "Cup" }] })',
    "setStock": "setStock(input: { productId: $product, stock: 5 })",
    "adjustStock": "adjustStock(input: { productId: $product, delta: 0 })",
    "logOut": 'logOut(input: { refreshToken: "unknown" })',
    "refreshSession": 'refreshSession(input: { refreshToken: "unknown" })',
    "logIn": 'logIn(input: { email: "nobody@example.com", password: "wrong" })',
}


@pytest.mark.parametrize("field", NOTHING.values(), ids=NOTHING)
async def test_a_mutation_that_changes_nothing_writes_nothing(
    api: Api, market: Market, connection: AsyncConnection, field: str
) -> None:
    owner = await market.user(full_name="Ada", email="ada@example.com")
    store = await market.store(owner, name="Tea")
    product = await market.product(store, name="Cup", stock=5)
    ids = {"owner": gid(owner), "store": gid(store), "product": gid(product)}
    used = {name: id for name, id in ids.items() if f"${name}" in field}
    declared = f"({', '.join(f'${name}: ID!' for name in used)})" if used else ""

    async def versions() -> list[object]:
        """Return the transaction and command that wrote each row."""
        return [
            (await connection.execute(text(f"SELECT array_agg((id, xmin, cmin)::text ORDER BY id) FROM {table}"))).all()
            for table in ("users", "sessions", "refresh_tokens", "stores", "products", "audit_entries")
        ]

    before = await versions()
    await api.data(f"mutation {declared} {{ {field} {{ __typename }} }}", used, user=owner)

    assert await versions() == before


async def test_a_log_out_tells_whose_session_it_was_whoever_sends_it(shop: Shop, connection: AsyncConnection) -> None:
    await shop.run(LOG_OUT, {"token": REFRESH_TOKEN}, shop.superuser)

    assert await trail(connection) == [Line("logOut", gid(shop.customer), gid(shop.customer), "sessions")]


async def test_a_stolen_token_that_ends_a_session_is_told_although_it_is_refused(
    shop: Shop, connection: AsyncConnection
) -> None:
    newest = (await refresh(shop.api, REFRESH_TOKEN))["session"]["refreshToken"]
    await refresh(shop.api, newest)
    for _ in range(2):
        await refresh(shop.api, REFRESH_TOKEN)

    customer = gid(shop.customer)
    assert await trail(connection) == [  # and nothing of the last: the session had ended
        Line("refreshSession", customer, customer, "sessions"),
        Line("refreshSession", customer, customer, "sessions"),
        Line("refreshSession", None, customer, "sessions"),
    ]


async def test_another_hash_of_the_same_password_is_no_change_of_the_password(
    api: Api, market: Market, connection: AsyncConnection
) -> None:
    weaker = PasswordHasher(time_cost=1, memory_cost=16, parallelism=1).hash(PASSWORD)
    user = await market.user(password_hash=weaker)

    assert (await log_in(api, user))["__typename"] == "LogInSuccess"

    stored = await connection.scalar(select(User.password_hash).where(User.id == user.id))
    assert stored != weaker
    assert not passwords.needs_rehash(stored or "")
    assert await trail(connection) == [Line("logIn", gid(user), gid(user), "sessions")]


async def test_each_step_tells_of_the_part_and_where_its_status_changes_of_the_order(
    shop: Shop, connection: AsyncConnection
) -> None:
    order = await shop.market.order(shop.customer)
    items = [await shop.market.item(order, await shop.market.product(shop.store)) for _ in range(3)]
    part = await shop.market.store_order(order, shop.store)

    for item in items:
        await fulfill(shop.api, shop.owner, part, item)

    lines = await trail(connection)
    assert [line.fields for line in lines if line.entity == gid(part)] == ["items", "items", "items status"]
    assert [line.fields for line in lines if line.entity == gid(order)] == ["status", "status"]
    assert len(lines) == 5


async def test_the_operation_is_told_by_its_name_and_not_by_its_alias(shop: Shop, connection: AsyncConnection) -> None:
    await shop.api.data(
        "mutation ($id: ID!) { nothing: deleteProduct(input: { id: $id }) { __typename } }",
        {"id": gid(shop.product)},
        user=shop.owner,
    )

    assert [line.operation for line in await trail(connection)] == ["deleteProduct"]


async def test_entries_of_one_request_share_its_id_and_those_of_others_do_not(
    shop: Shop, connection: AsyncConnection
) -> None:
    taken = await shop.market.store(shop.owner)
    variables = {"product": gid(shop.product), "store": gid(shop.store), "taken": taken.name}
    await shop.api.data(TWO_FIELDS, variables, user=shop.owner)
    await update(shop.api, shop.owner, id=gid(shop.product), price="9")

    ids = list(await connection.scalars(select(AuditEntry.request_id).order_by(AuditEntry.id)))

    assert len(ids) == 4
    assert ids[0] == ids[1] == ids[2] != ids[3]


async def test_lines_are_in_the_order_of_what_was_done(shop: Shop, connection: AsyncConnection) -> None:
    for city in ("Paris", "Rome", "Oslo"):
        await stores.update(shop.api, shop.owner, shop.store, city=city)
    await update(shop.api, shop.owner, id=gid(shop.product), price="2")

    lines = await trail(connection)

    assert [line.operation for line in lines] == ["updateStore"] * 3 + ["updateProduct"]
    assert lines[0] == Line("updateStore", gid(shop.owner), gid(shop.store), "city")
