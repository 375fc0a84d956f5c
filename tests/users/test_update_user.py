"""Changing an account."""

from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.models import User
from tests.api import Api
from tests.market import PASSWORD, PASSWORD_HASH, Market, gid
from tests.paths import Paths
from tests.security.hashing import RecordingHasher
from tests.users.operations import ADA, NOBODY, UPDATE_USER, bearer, log_in, logged_in, refresh, sign_up, value

NEW_PASSWORD = "battery staple"


async def update(api: Api, user: User, viewer: User | None = None, **changes: Any) -> Any:
    """Send changes, with the viewer's current password where they need it."""
    confirmed = {"currentPassword": PASSWORD} if changes.keys() & {"email", "password"} else {}
    variables = {"input": {"id": gid(user), **confirmed, **changes}}
    return (await api.data(UPDATE_USER, variables, user=viewer or user))["updateUser"]


async def test_a_field_that_is_left_out_stays_as_it_is(api: Api, market: Market, connection: AsyncConnection) -> None:
    user = await market.user(email="ada@example.com", full_name="Ada")

    answer = await update(api, user, fullName="Ada Lovelace")

    assert answer == {
        "__typename": "UpdateUserSuccess",
        "user": {"id": gid(user), "email": "ada@example.com", "fullName": "Ada Lovelace", "isSuperuser": False},
    }
    row = (await connection.execute(select(User.full_name, User.email, User.password_hash))).one()
    assert tuple(row) == ("Ada Lovelace", "ada@example.com", PASSWORD_HASH)


@pytest.mark.parametrize("path", ["resolver", "compiled"])
async def test_the_edge_of_the_result_is_the_one_of_the_list(paths: Paths, market: Market, path: str) -> None:
    api, superuser, user = getattr(paths, path), await market.superuser(), await market.user()
    document = """
    mutation ($id: ID!) {
      updateUser(input: { id: $id, fullName: "Ada" }) {
        ... on UpdateUserSuccess { userEdge { cursor node { fullName stores { totalCount } } } }
      }
    }
    """
    users = "{ users { edges { cursor node { fullName stores { totalCount } } } } }"

    result = (await api.data(document, {"id": gid(user)}, user=superuser))["updateUser"]

    assert result["userEdge"]["node"] == {"fullName": "Ada", "stores": {"totalCount": 0}}
    assert result["userEdge"] == (await api.data(users, user=superuser))["users"]["edges"][-1]


async def test_an_update_without_changes_changes_nothing(api: Api, market: Market) -> None:
    user = await market.user(full_name="Ada")

    assert (await update(api, user))["user"]["fullName"] == "Ada"


@pytest.mark.parametrize("field", ["email", "fullName", "password"])
async def test_nothing_can_be_cleared(api: Api, market: Market, connection: AsyncConnection, field: str) -> None:
    user = await market.user()

    answer = await update(api, user, **{field: None})

    assert answer["__typename"] == "InvalidInput"
    assert answer["issues"] == [{"path": ["input", field], "code": "REQUIRED", "message": "must not be null"}]
    row = (await connection.execute(select(User.full_name, User.email, User.password_hash))).one()
    assert tuple(row) == (user.full_name, user.email, PASSWORD_HASH)


async def test_every_wrong_field_is_told_at_once_and_nothing_is_changed(api: Api, market: Market) -> None:
    user = await market.user(full_name="Ada")

    answer = await update(api, user, email="ada", fullName="x" * 256, password="short")

    assert [issue["path"] for issue in answer["issues"]] == [
        ["input", field] for field in ("email", "fullName", "password")
    ]
    assert (await market.reload(user)).full_name == "Ada"


async def test_values_are_normalised(api: Api, market: Market) -> None:
    answer = (await update(api, await market.user(), email=" ADA@Example.com", fullName=" Ada "))["user"]

    assert (answer["email"], answer["fullName"]) == ("ada@example.com", "Ada")


async def test_an_email_that_another_account_has_is_a_conflict_whatever_its_case(api: Api, market: Market) -> None:
    await market.user(email="ada@example.com")
    user = await market.user(email="grace@example.com", full_name="Grace")

    answer = await update(api, user, email="ADA@example.com", fullName="Ada")

    assert answer == {
        "__typename": "Conflict",
        "path": ["input", "email"],
        "code": "EMAIL_TAKEN",
        "message": "An account with this email already exists.",
    }
    await market.reload(user)
    assert (user.email, user.full_name) == ("grace@example.com", "Grace")


async def test_the_email_of_a_deleted_account_may_be_taken(api: Api, market: Market) -> None:
    await market.user(email="ada@example.com", deleted_at=func.now())

    assert (await update(api, await market.user(), email="ada@example.com"))["user"]["email"] == "ada@example.com"


async def test_ones_own_email_in_another_case_is_no_conflict(api: Api, market: Market) -> None:
    user = await market.user(email="ada@example.com")

    assert (await update(api, user, email="Ada@Example.com"))["user"]["email"] == "ada@example.com"


async def test_the_same_email_needs_no_password(api: Api, market: Market) -> None:
    user = await market.user(email="ada@example.com")
    variables = {"input": {"id": gid(user), "email": "Ada@example.com", "fullName": "Ada Lovelace"}}

    answer = (await api.data(UPDATE_USER, variables, user=user))["updateUser"]

    assert (answer["user"]["email"], answer["user"]["fullName"]) == ("ada@example.com", "Ada Lovelace")


async def test_a_new_email_is_the_one_to_log_in_with(api: Api, market: Market) -> None:
    user = await market.user(email="ada@example.com")
    await update(api, user, email="countess@example.com")

    assert (await log_in(api, "countess@example.com"))["__typename"] == "LogInSuccess"
    assert (await log_in(api, "ada@example.com"))["__typename"] == "IncorrectCredentials"


async def test_a_new_password_lets_in_and_the_old_one_does_not(api: Api, market: Market) -> None:
    user = await market.user()

    await update(api, user, password=NEW_PASSWORD)

    assert (await log_in(api, user, NEW_PASSWORD))["__typename"] == "LogInSuccess"
    assert (await log_in(api, user, PASSWORD))["__typename"] == "IncorrectCredentials"


async def test_a_new_password_ends_all_other_sessions_of_the_user_and_of_nobody_else(api: Api, market: Market) -> None:
    user, other = await market.user(), await market.user()
    tokens = [await logged_in(api, user), await logged_in(api, user)]
    others = await logged_in(api, other)

    await update(api, user, password=NEW_PASSWORD)

    assert [(await refresh(api, token))["__typename"] for token in tokens] == ["IncorrectCredentials"] * 2
    assert (await refresh(api, others))["__typename"] == "RefreshSessionSuccess"


@pytest.mark.parametrize("refreshed", [False, True])
async def test_the_session_that_changes_the_password_goes_on(api: Api, market: Market, refreshed: bool) -> None:
    user = await market.user()
    other, own = await logged_in(api, user), (await log_in(api, user))["session"]
    if refreshed:
        own = (await refresh(api, own["refreshToken"]))["session"]
    variables = {"input": {"id": gid(user), "password": NEW_PASSWORD, "currentPassword": PASSWORD}}

    response = await api.send(UPDATE_USER, variables, headers=bearer(own))

    assert response.json()["data"]["updateUser"]["__typename"] == "UpdateUserSuccess"
    assert (await refresh(api, other))["__typename"] == "IncorrectCredentials"
    assert (await refresh(api, own["refreshToken"]))["__typename"] == "RefreshSessionSuccess"


async def test_the_session_of_a_sign_up_goes_on_too(api: Api) -> None:
    own = (await sign_up(api))["session"]
    changes = {"password": NEW_PASSWORD, "currentPassword": ADA["password"]}

    await api.send(UPDATE_USER, {"input": {"id": own["user"]["id"], **changes}}, headers=bearer(own))

    assert (await log_in(api, ADA["email"], NEW_PASSWORD))["__typename"] == "LogInSuccess"
    assert (await refresh(api, own["refreshToken"]))["__typename"] == "RefreshSessionSuccess"


@pytest.mark.parametrize("changes", [{"email": "new@example.com"}, {"password": NEW_PASSWORD}])
@pytest.mark.parametrize(
    ("given", "code", "message"),
    [
        ({}, "REQUIRED", "is required to change the email address or password"),
        ({"currentPassword": ""}, "WRONG", "is not your current password"),
        ({"currentPassword": "a wrong one"}, "WRONG", "is not your current password"),
        ({"currentPassword": NEW_PASSWORD}, "WRONG", "is not your current password"),
    ],
)
async def test_without_the_current_password_neither_email_nor_password_changes(
    api: Api,
    market: Market,
    connection: AsyncConnection,
    changes: dict[str, str],
    given: dict[str, str],
    code: str,
    message: str,
) -> None:
    user = await market.user(email="ada@example.com", full_name="Ada")
    token = await logged_in(api, user)
    variables = {"input": {"id": gid(user), "fullName": "Ada Lovelace", **changes, **given}}

    answer = (await api.data(UPDATE_USER, variables, user=user))["updateUser"]

    assert answer["__typename"] == "InvalidInput"
    assert answer["issues"] == [{"path": ["input", "currentPassword"], "code": code, "message": message}]
    row = (await connection.execute(select(User.full_name, User.email, User.password_hash))).one()
    assert tuple(row) == ("Ada", "ada@example.com", PASSWORD_HASH)
    assert (await refresh(api, token))["__typename"] == "RefreshSessionSuccess"


async def test_a_current_password_of_null_is_refused(api: Api, market: Market) -> None:
    answer = await update(api, await market.user(), email="new@example.com", currentPassword=None)

    assert answer["issues"] == [
        {"path": ["input", "currentPassword"], "code": "REQUIRED", "message": "must not be null"}
    ]


async def test_a_name_changes_without_the_current_password_and_a_wrong_one_is_not_looked_at(
    api: Api, market: Market, hasher: RecordingHasher
) -> None:
    user = await market.user()

    answer = await update(api, user, fullName="Ada", currentPassword="a wrong one")

    assert answer["user"]["fullName"] == "Ada"
    assert hasher.calls == []


async def test_a_superuser_needs_their_own_password_and_not_the_users(api: Api, market: Market) -> None:
    other_hash = RecordingHasher().hash("another password")
    user, superuser = await market.user(), await market.superuser(password_hash=other_hash)

    refused = await update(api, user, superuser, email="new@example.com", currentPassword=PASSWORD)
    done = await update(api, user, superuser, email="new@example.com", currentPassword="another password")

    assert [issue["code"] for issue in refused["issues"]] == ["WRONG"]
    assert done["user"]["email"] == "new@example.com"


async def test_a_change_without_a_new_password_ends_no_session(api: Api, market: Market) -> None:
    user = await market.user()
    token = await logged_in(api, user)

    await update(api, user, fullName="Ada", email="ada@example.com")

    assert (await refresh(api, token))["__typename"] == "RefreshSessionSuccess"


async def test_a_new_password_that_is_refused_ends_no_session(api: Api, market: Market) -> None:
    await market.user(email="ada@example.com")
    user = await market.user()
    token = await logged_in(api, user)

    answer = await update(api, user, password=NEW_PASSWORD, email="ada@example.com")

    assert answer["__typename"] == "Conflict"
    assert (await refresh(api, token))["__typename"] == "RefreshSessionSuccess"
    assert (await log_in(api, user, NEW_PASSWORD))["__typename"] == "IncorrectCredentials"


async def test_a_new_password_is_kept_only_as_a_hash_made_off_the_event_loop(
    api: Api, market: Market, connection: AsyncConnection, hasher: RecordingHasher
) -> None:
    user = await market.user()

    changes = {"password": NEW_PASSWORD, "currentPassword": PASSWORD}

    response = await api.send(UPDATE_USER, {"input": {"id": gid(user), **changes}}, user=user)

    password_hash = await value(connection, select(User.password_hash))
    assert password_hash.startswith("$argon2id$")
    assert NEW_PASSWORD not in response.text
    assert PASSWORD not in response.text
    assert "argon2" not in response.text
    assert hasher.methods == ["verify", "hash"]
    assert all(call.thread.startswith("argon2") for call in hasher.calls)


async def test_somebody_else_may_not_change_an_account(api: Api, market: Market) -> None:
    user, other = await market.user(full_name="Ada"), await market.user()

    error = await api.error(UPDATE_USER, {"input": {"id": gid(user), "fullName": "Changed"}}, user=other)

    assert error["code"] == "FORBIDDEN"
    assert (await market.reload(user)).full_name == "Ada"


async def test_somebody_else_does_not_learn_what_is_wrong_with_the_input(api: Api, market: Market) -> None:
    user, other = await market.user(), await market.user(email="ada@example.com")

    for changes in ({"email": "wrong"}, {"email": "ada@example.com"}):
        error = await api.error(UPDATE_USER, {"input": {"id": gid(user), **changes}}, user=other)
        assert error["code"] == "FORBIDDEN"


async def test_a_superuser_may_change_any_account(api: Api, market: Market) -> None:
    user, superuser = await market.user(), await market.superuser()

    answer = (await update(api, user, superuser, fullName="Changed", email="changed@example.com"))["user"]

    assert (answer["fullName"], answer["email"]) == ("Changed", "changed@example.com")
    assert (await market.reload(user)).full_name == "Changed"


async def test_a_superusers_new_password_for_a_user_ends_the_users_sessions(api: Api, market: Market) -> None:
    user, superuser = await market.user(), await market.superuser()
    token, superusers = await logged_in(api, user), await logged_in(api, superuser)

    await update(api, user, superuser, password=NEW_PASSWORD)

    assert (await refresh(api, token))["__typename"] == "IncorrectCredentials"
    assert (await refresh(api, superusers))["__typename"] == "RefreshSessionSuccess"


async def test_nobody_may_change_an_account(api: Api, market: Market) -> None:
    user = await market.user(full_name="Ada")

    error = await api.error(UPDATE_USER, {"input": {"id": gid(user), "fullName": "Changed"}})

    assert error["code"] == "UNAUTHENTICATED"
    assert (await market.reload(user)).full_name == "Ada"


async def test_an_account_that_does_not_exist_and_a_deleted_one_are_not_found_alike(api: Api, market: Market) -> None:
    deleted = await market.user(deleted_at=func.now())

    for viewer in (await market.user(), await market.superuser()):
        for id in (NOBODY, gid(deleted)):
            data = await api.data(UPDATE_USER, {"input": {"id": id, "fullName": "Changed"}}, user=viewer)
            assert data["updateUser"] == {
                "__typename": "NotFound",
                "missingId": id,
                "message": "There is no such User.",
            }


@pytest.mark.parametrize("id", ["", "User_", "User_1", "Store_00000000-0000-7000-8000-000000000000"])
async def test_what_is_not_the_id_of_a_user_is_bad_input(api: Api, market: Market, id: str) -> None:
    error = await api.error(UPDATE_USER, {"input": {"id": id}}, user=await market.superuser())

    assert error["extensions"] == {"code": "BAD_USER_INPUT", "argumentPath": ["input", "id"]}


async def test_nobody_makes_themselves_a_superuser(api: Api, market: Market) -> None:
    user = await market.user()
    variables = {"input": {"id": gid(user), "isSuperuser": True}}

    response = await api.send(UPDATE_USER, variables, user=user)

    assert response.json()["errors"]
    assert (await market.reload(user)).is_superuser is False
