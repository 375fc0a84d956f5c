"""Closing an account."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.models import Product, Session, Store, User
from tests.api import Api
from tests.market import Market, gid
from tests.statements import Statements
from tests.users.operations import ADA, DELETE_USER, NOBODY, SESSIONS, log_in, logged_in, refresh, sign_up, value


async def delete(api: Api, user: User, viewer: User | None = None) -> None:
    data = await api.data(DELETE_USER, {"id": gid(user)}, user=viewer or user)
    assert data["deleteUser"] == {"__typename": "DeleteUserSuccess", "deletedUserId": gid(user)}


async def test_a_user_closes_their_account(api: Api, market: Market) -> None:
    user = await market.user()

    await delete(api, user)

    assert await api.data("query ($id: ID!) { user(id: $id) { id } }", {"id": gid(user)}) == {"user": None}
    assert (await log_in(api, user))["__typename"] == "IncorrectCredentials"


async def test_the_row_stays(api: Api, market: Market) -> None:
    user = await market.user()

    await delete(api, user)

    assert (await market.reload(user)).deleted_at is not None


async def test_the_stores_and_their_products_go_with_it(api: Api, market: Market) -> None:
    user = await market.user()
    for _ in range(2):
        await market.product(await market.store(user))
    kept = await market.product()

    await delete(api, user)

    data = await api.data("{ stores { nodes { id } } products { nodes { id } } }")
    assert data["products"]["nodes"] == [{"id": gid(kept)}]
    assert [node["id"] for node in data["stores"]["nodes"]] == [f"Store_{kept.store_id}"]


async def test_closing_takes_the_same_statements_whatever_the_number_of_stores(
    api: Api, market: Market, statements: Statements
) -> None:
    counts = []
    for stores in (1, 4):
        user = await market.user()
        for _ in range(stores):
            await market.product(await market.store(user))
        statements.clear()
        await delete(api, user)
        counts.append(len(statements))

    assert counts[0] == counts[1]


async def test_each_store_and_its_products_go_at_one_moment(
    api: Api, market: Market, connection: AsyncConnection
) -> None:
    user = await market.user()
    for _ in range(2):
        store = await market.store(user)
        await market.product(store)
        await market.product(store)

    await delete(api, user)

    moments = select(Store.deleted_at, Product.deleted_at).join(Product, Product.store_id == Store.id)
    rows = (await connection.execute(moments)).all()
    assert len(rows) == 4
    assert all(of_store is not None and of_store == of_product for of_store, of_product in rows)


async def test_what_was_deleted_before_keeps_its_moment(api: Api, market: Market) -> None:
    before = datetime(2020, 1, 1, tzinfo=UTC)
    user = await market.user()
    deleted_store = await market.store(user, deleted_at=before)
    deleted_product = await market.product(await market.store(user), deleted_at=before)

    await delete(api, user)

    assert (await market.reload(deleted_store)).deleted_at == before
    assert (await market.reload(deleted_product)).deleted_at == before


async def test_a_superuser_can_restore_a_store_of_a_closed_account(api: Api, market: Market) -> None:
    user, superuser = await market.user(), await market.superuser()
    product = await market.product(await market.store(user))
    await delete(api, user)
    restore = """
    mutation ($id: ID!) {
      restoreStore(input: { id: $id }) {
        ... on RestoreStoreSuccess { store { products { nodes { id } } owner { id } } }
      }
    }
    """

    data = await api.data(restore, {"id": f"Store_{product.store_id}"}, user=superuser)

    assert data["restoreStore"] == {"store": {"products": {"nodes": [{"id": gid(product)}]}, "owner": None}}


async def test_the_users_sessions_end_and_nobody_elses(api: Api, market: Market, connection: AsyncConnection) -> None:
    user, other = await market.user(), await market.user()
    tokens = [await logged_in(api, user), await logged_in(api, user)]
    others = await logged_in(api, other)

    await delete(api, user)

    live = SESSIONS.where(Session.ended_at.is_(None))
    assert await value(connection, live) == 1
    assert [(await refresh(api, token))["__typename"] for token in tokens] == ["IncorrectCredentials"] * 2
    assert (await refresh(api, others))["__typename"] == "RefreshSessionSuccess"


async def test_the_email_is_free_again(api: Api, market: Market) -> None:
    user = await market.user(email=ADA["email"])
    await delete(api, user)

    session = (await sign_up(api))["session"]

    assert session["user"]["id"] != gid(user)


async def test_two_accounts_with_the_same_email_can_be_closed(api: Api, market: Market) -> None:
    await delete(api, await market.user(email=ADA["email"]))
    await delete(api, await market.user(email=ADA["email"]))


async def test_an_order_stays_without_its_customer(api: Api, market: Market) -> None:
    user, superuser = await market.user(), await market.superuser()
    order = await market.order(user, await market.product())

    await delete(api, user)

    query = "query ($id: ID!) { order(id: $id) { id customer { id } } }"
    assert await api.data(query, {"id": gid(order)}, user=superuser) == {"order": {"id": gid(order), "customer": None}}


async def test_a_superuser_may_close_any_account(api: Api, market: Market) -> None:
    user = await market.user()

    await delete(api, user, await market.superuser())

    assert (await market.reload(user)).deleted_at is not None


async def test_somebody_else_may_not_close_an_account(api: Api, market: Market) -> None:
    user = await market.user()
    store = await market.store(user)

    error = await api.error(DELETE_USER, {"id": gid(user)}, user=await market.user())

    assert error["code"] == "FORBIDDEN"
    assert (await market.reload(user)).deleted_at is None
    assert (await market.reload(store)).deleted_at is None


async def test_nobody_may_close_an_account(api: Api, market: Market) -> None:
    user = await market.user()

    assert (await api.error(DELETE_USER, {"id": gid(user)}))["code"] == "UNAUTHENTICATED"
    assert (await market.reload(user)).deleted_at is None


async def test_an_account_that_does_not_exist_and_a_deleted_one_are_not_found_alike(api: Api, market: Market) -> None:
    deleted = await market.user(deleted_at=func.now())

    for viewer in (await market.user(), await market.superuser()):
        for id in (NOBODY, gid(deleted)):
            data = await api.data(DELETE_USER, {"id": id}, user=viewer)
            assert data["deleteUser"] == {
                "__typename": "NotFound",
                "missingId": id,
                "message": "There is no such User.",
            }


@pytest.mark.parametrize("id", ["", "User_1", "Store_00000000-0000-7000-8000-000000000000"])
async def test_what_is_not_the_id_of_a_user_is_bad_input(api: Api, market: Market, id: str) -> None:
    error = await api.error(DELETE_USER, {"id": id}, user=await market.superuser())

    assert error["extensions"] == {"code": "BAD_USER_INPUT", "argumentPath": ["input", "id"]}
