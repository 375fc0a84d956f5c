"""A token carries the rights at the time it was issued; a mutation checks the current ones in the database."""

from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy import func, update

from app.db.models import User
from tests.api import Api
from tests.market import Market, gid
from tests.statements import Statements

CREATE_STORE = """
mutation { createStore(input: {
  name: "Tea", street: "Main Street 1", postcode: "10115", city: "Berlin", country: "DE", currency: "EUR"
}) { __typename } }
"""
DELETE_STORE = "mutation ($id: ID!) { deleteStore(input: { id: $id }) { __typename } }"
UPDATE_USER = """
mutation ($id: ID!) {
  updateUser(input: { id: $id, fullName: "Changed" }) { ... on UpdateUserSuccess { user { email } } }
}
"""


async def deleted(market: Market, user: User) -> User:
    """Delete the user in the database; the entity stays as it was, and so does the token made of it."""
    await market.session.execute(update(User).where(User.id == user.id).values(deleted_at=func.now()))
    await market.session.commit()
    return user


async def demoted(market: Market, superuser: User) -> User:
    """Take the superuser's rights in the database, but not from the entity that the token is made of."""
    rights = update(User).where(User.id == superuser.id).values(is_superuser=False)
    await market.session.execute(rights, execution_options={"synchronize_session": False})
    await market.session.commit()
    assert superuser.is_superuser
    return superuser


async def test_the_token_of_a_deleted_user_changes_nothing(api: Api, market: Market) -> None:
    user = await deleted(market, await market.user())

    error = await api.error(CREATE_STORE, user=user)

    assert error["code"] == "UNAUTHENTICATED"
    assert error["message"] == "The session has ended. Log in again."
    assert (await api.data("{ stores { totalCount } }"))["stores"]["totalCount"] == 0


PLACE = """
mutation ($id: ID!) {
  placeOrder(input: { items: [{ productId: $id, quantity: 1 }] }) {
    ... on PlaceOrderSuccess { order { items { product { store { owner { email } } } } } }
  }
}
"""


async def test_the_token_of_a_deleted_user_orders_nothing(api: Api, market: Market) -> None:
    product = await market.product(stock=5)
    user = await deleted(market, await market.user())

    error = await api.error(PLACE, {"id": gid(product)}, user=user)

    assert (error["code"], error["message"]) == ("UNAUTHENTICATED", "The session has ended. Log in again.")
    assert (await market.reload(product)).stock == 5


CLOSE = "mutation ($id: ID!) { deleteUser(input: { id: $id }) { __typename } }"


@pytest.mark.parametrize(("taken", "code"), [(deleted, "UNAUTHENTICATED"), (demoted, "FORBIDDEN")])
async def test_the_token_of_who_was_a_superuser_closes_no_account(
    api: Api, market: Market, taken: Callable[[Market, User], Awaitable[User]], code: str
) -> None:
    user, viewer = await market.user(), await taken(market, await market.superuser())

    error = await api.error(CLOSE, {"id": gid(user)}, user=viewer)

    assert error["code"] == code
    assert (await market.reload(user)).deleted_at is None


async def test_who_has_just_closed_their_account_closes_no_other(api: Api, market: Market) -> None:
    viewer, user = await market.superuser(), await market.user()
    both = """
    mutation ($own: ID!, $id: ID!) {
      deleteUser(input: { id: $own }) { __typename }
      after: deleteUser(input: { id: $id }) { __typename }
    }
    """

    result = await api.execute(both, {"own": gid(viewer), "id": gid(user)}, user=viewer)

    (error,) = result["errors"]
    assert (error["path"], error["extensions"]["code"]) == (["after"], "UNAUTHENTICATED")
    assert result["data"] == {"deleteUser": {"__typename": "DeleteUserSuccess"}, "after": None}
    assert (await market.reload(user)).deleted_at is None
    assert (await market.reload(viewer)).deleted_at is not None


async def test_an_account_that_the_same_request_closes_orders_nothing_after_it(api: Api, market: Market) -> None:
    user, product = await market.user(), await market.product(stock=5)
    both = """
    mutation ($user: ID!, $id: ID!) {
      before: placeOrder(input: { items: [{ productId: $id, quantity: 1 }] }) { __typename }
      deleteUser(input: { id: $user }) { __typename }
      after: placeOrder(input: { items: [{ productId: $id, quantity: 1 }] }) { __typename }
    }
    """

    result = await api.execute(both, {"user": gid(user), "id": gid(product)}, user=user)

    assert [error["path"] for error in result["errors"]] == [["after"]]
    assert result["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    assert result["data"]["before"] == {"__typename": "PlaceOrderSuccess"}
    assert (await market.reload(product)).stock == 4


async def test_what_a_superuser_ordered_is_shown_by_the_rights_of_now(api: Api, market: Market) -> None:
    product = await market.product()
    was_superuser = await demoted(market, await market.superuser())

    order = (await api.data(PLACE, {"id": gid(product)}, user=was_superuser))["placeOrder"]["order"]

    assert order["items"][0]["product"]["store"]["owner"]["email"] is None


async def test_the_token_of_a_deleted_superuser_changes_nothing(api: Api, market: Market) -> None:
    store = await market.store()
    superuser = await deleted(market, await market.superuser())

    error = await api.error(DELETE_STORE, {"id": gid(store)}, user=superuser)

    assert error["code"] == "UNAUTHENTICATED"
    assert (await market.reload(store)).deleted_at is None


async def test_a_deleted_user_is_nobody_to_the_viewer_field(api: Api, market: Market) -> None:
    user = await deleted(market, await market.user())

    assert await api.data("{ viewer { id } }", user=user) == {"viewer": None}


async def test_with_the_token_of_a_deleted_user_one_can_still_log_in(api: Api, market: Market) -> None:
    user = await deleted(market, await market.user())
    refresh = 'mutation { refreshSession(input: { refreshToken: "unknown" }) { __typename } }'

    assert await api.data(refresh, user=user) == {"refreshSession": {"__typename": "IncorrectCredentials"}}


async def test_who_is_no_longer_a_superuser_cannot_change_what_is_not_theirs(api: Api, market: Market) -> None:
    store = await market.store()
    former = await demoted(market, await market.superuser())

    error = await api.error(DELETE_STORE, {"id": gid(store)}, user=former)

    assert error["code"] == "FORBIDDEN"
    assert (await market.reload(store)).deleted_at is None


async def test_who_is_no_longer_a_superuser_still_changes_what_is_theirs(api: Api, market: Market) -> None:
    former = await demoted(market, await market.superuser())

    data = await api.data(UPDATE_USER, {"id": gid(former)}, user=former)

    assert data == {"updateUser": {"user": {"email": former.email}}}


async def test_who_has_become_a_superuser_is_one_in_mutations_before_the_token_says_so(
    api: Api, market: Market
) -> None:
    store, user = await market.store(), await market.user()
    rights = update(User).where(User.id == user.id).values(is_superuser=True)
    await market.session.execute(rights, execution_options={"synchronize_session": False})
    await market.session.commit()

    assert await api.data(DELETE_STORE, {"id": gid(store)}, user=user) == {
        "deleteStore": {"__typename": "DeleteStoreSuccess"}
    }


async def test_who_closes_their_account_can_do_nothing_afterwards_in_the_same_request(api: Api, market: Market) -> None:
    user = await market.user()
    document = CREATE_STORE.replace("mutation {", "mutation ($id: ID!) { deleteUser(input: { id: $id }) { __typename }")

    error = await api.error(document, {"id": gid(user)}, user=user)

    assert error["code"] == "UNAUTHENTICATED"
    assert error["path"] == ["createStore"]
    assert (await api.data("{ stores { totalCount } }"))["stores"]["totalCount"] == 0


async def test_a_query_does_not_ask_who_the_viewer_is(api: Api, market: Market, statements: Statements) -> None:
    user = await market.user()
    statements.clear()

    await api.data("{ stores { nodes { id } } }", user=user)

    assert len(statements) == 1
