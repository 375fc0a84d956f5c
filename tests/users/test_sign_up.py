"""Creating an account."""

from typing import Any

import pytest
from graphql import build_schema
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.models import User
from app.graphql.schema import schema_sdl
from tests.api import Api
from tests.market import Market
from tests.security.hashing import RecordingHasher
from tests.users.operations import ADA, NOBODY, SESSIONS, SIGN_UP, log_in, sign_up, value


async def test_signing_up_creates_an_account_and_logs_in(api: Api) -> None:
    session = (await sign_up(api))["session"]

    assert session["user"]["fullName"] == "Ada Lovelace"
    response = await api.send(
        "{ viewer { id email isSuperuser } }", headers={"Authorization": f"Bearer {session['accessToken']}"}
    )
    assert response.json()["data"]["viewer"] == {
        "id": session["user"]["id"],
        "email": "ada@example.com",
        "isSuperuser": False,
    }


async def test_one_sees_ones_own_email_in_the_answer(api: Api) -> None:
    assert (await sign_up(api))["session"]["user"]["email"] == "ada@example.com"


async def test_the_fields_that_follow_in_the_request_are_not_logged_in(api: Api) -> None:
    document = f"""mutation ($input: SignUpInput!) {{
      signUp(input: $input) {{ __typename }} deleteUser(input: {{ id: "{NOBODY}" }}) {{ __typename }}
    }}"""

    result = await api.execute(document, {"input": ADA})

    (error,) = result["errors"]
    assert (error["extensions"]["code"], error["path"]) == ("UNAUTHENTICATED", ["deleteUser"])
    assert result["data"] == {"signUp": {"__typename": "SignUpSuccess"}, "deleteUser": None}


async def test_the_new_password_lets_in(api: Api) -> None:
    session = (await sign_up(api))["session"]

    again = (await log_in(api, ADA["email"], ADA["password"]))["session"]

    assert again["user"] == session["user"]


async def test_the_email_is_kept_trimmed_and_in_lower_case(api: Api, connection: AsyncConnection) -> None:
    session = (await sign_up(api, email="  ADA@Example.COM "))["session"]

    assert session["user"]["email"] == "ada@example.com"
    assert await value(connection, select(User.email)) == "ada@example.com"


async def test_the_name_is_trimmed(api: Api) -> None:
    assert (await sign_up(api, fullName="  Ada \t"))["session"]["user"]["fullName"] == "Ada"


async def test_the_password_is_taken_as_it_is(api: Api) -> None:
    await sign_up(api, password="  spaces around  ")

    assert (await log_in(api, ADA["email"], "spaces around"))["__typename"] == "IncorrectCredentials"
    assert (await log_in(api, ADA["email"], "  spaces around  "))["__typename"] == "LogInSuccess"


@pytest.mark.parametrize("email", ["ada@example.com", "ADA@EXAMPLE.COM", " ada@example.com"])
async def test_an_email_that_has_an_account_is_a_conflict_whatever_its_case(
    api: Api, market: Market, connection: AsyncConnection, email: str
) -> None:
    await market.user(email="ada@example.com")

    assert await sign_up(api, email=email) == {
        "__typename": "Conflict",
        "path": ["input", "email"],
        "code": "EMAIL_TAKEN",
        "message": "An account with this email already exists.",
    }
    assert await value(connection, select(func.count(User.id))) == 1
    assert await value(connection, SESSIONS) == 0


async def test_the_email_of_a_deleted_account_may_be_used_again(api: Api, market: Market) -> None:
    await market.user(email=ADA["email"], deleted_at=func.now())

    session = (await sign_up(api))["session"]

    assert (await log_in(api, ADA["email"], ADA["password"]))["session"]["user"]["id"] == session["user"]["id"]


async def test_every_wrong_field_is_told_at_once(api: Api, connection: AsyncConnection) -> None:
    answer = await sign_up(api, email="ada", password="short", fullName=" ")

    assert answer["__typename"] == "InvalidInput"
    assert answer["issues"] == [
        {
            "path": ["input", "email"],
            "code": "MALFORMED",
            "message": "must be an email address, such as ada@example.com",
        },
        {"path": ["input", "password"], "code": "TOO_SHORT", "message": "must have at least 8 characters"},
        {"path": ["input", "fullName"], "code": "EMPTY", "message": "must not be empty"},
    ]
    assert await value(connection, select(func.count(User.id))) == 0


@pytest.mark.parametrize(
    ("values", "code", "message"),
    [
        ({"email": ""}, "MALFORMED", "must be an email address, such as ada@example.com"),
        ({"email": f"{'x' * 65}@example.com"}, "MALFORMED", "must be an email address, such as ada@example.com"),
        ({"email": "ada@localhost"}, "MALFORMED", "must be an email address, such as ada@example.com"),
        ({"email": "a\0da@example.com"}, "MALFORMED", "must be an email address, such as ada@example.com"),
        ({"email": "Ada <ada@example.com>"}, "MALFORMED", "must be an email address, such as ada@example.com"),
        ({"password": "1234567"}, "TOO_SHORT", "must have at least 8 characters"),
        ({"password": "x" * 201}, "TOO_LONG", "must have at most 200 characters"),
        ({"password": "with\0control"}, "CONTROL_CHARACTERS", "must not contain control characters"),
        ({"fullName": "x" * 256}, "TOO_LONG", "must have at most 255 characters"),
        ({"fullName": "Ada\nLovelace"}, "CONTROL_CHARACTERS", "must not contain control characters"),
        ({"fullName": "Ada\u2028Lovelace"}, "CONTROL_CHARACTERS", "must not contain control characters"),
        ({"fullName": "\u200b\u00ad"}, "EMPTY", "must not be empty"),
        ({"fullName": "Ada\0"}, "CONTROL_CHARACTERS", "must not contain control characters"),
    ],
)
async def test_a_field_that_breaks_its_rule_is_named(api: Api, values: dict[str, Any], code: str, message: str) -> None:
    (field,) = values

    assert (await sign_up(api, **values))["issues"] == [{"path": ["input", field], "code": code, "message": message}]


@pytest.mark.parametrize(
    "values",
    [{"password": "x" * 8}, {"password": "x" * 200}, {"fullName": "x" * 255}, {"email": f"{'x' * 64}@example.com"}],
)
async def test_the_limits_themselves_are_allowed(api: Api, values: dict[str, Any]) -> None:
    assert (await sign_up(api, **values))["__typename"] == "SignUpSuccess"


async def test_wrong_input_is_refused_before_the_password_is_hashed(api: Api, hasher: RecordingHasher) -> None:
    await sign_up(api, fullName="")

    assert hasher.methods == []


async def test_the_password_is_kept_as_an_argon2id_hash_only(api: Api, connection: AsyncConnection) -> None:
    await sign_up(api)

    row = (await connection.execute(select(User.__table__))).mappings().one()
    assert row["password_hash"].startswith("$argon2id$")
    assert not any(ADA["password"] in str(kept) for kept in row.values())


async def test_neither_the_password_nor_its_hash_is_in_an_answer(api: Api, connection: AsyncConnection) -> None:
    answers = [
        (await api.send(SIGN_UP, {"input": ADA})).text,
        (await api.send(SIGN_UP, {"input": ADA})).text,
        (await api.send(SIGN_UP, {"input": {**ADA, "email": "wrong"}})).text,
    ]

    password_hash = await value(connection, select(User.password_hash))
    for answer in answers:
        assert ADA["password"] not in answer
        assert password_hash not in answer
        assert "argon2" not in answer


async def test_only_inputs_have_a_password() -> None:
    types = build_schema(schema_sdl()).type_map.items()

    fields = {f"{name}.{field}" for name, type_ in types for field in getattr(type_, "fields", ())}

    assert {field for field in fields if "password" in field.lower()} == {
        "LogInInput.password",
        "SignUpInput.password",
        "UpdateUserInput.currentPassword",
        "UpdateUserInput.password",
    }
