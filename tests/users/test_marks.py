"""Texts of many combining marks, which take a time to normalize that is quadratic in their number."""

from time import process_time
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from app.inputs import Line, Paragraphs, SearchText
from app.texts import MOST_MARKS, has_too_many_marks
from tests.api import Api
from tests.market import Market, gid
from tests.security.hashing import RecordingHasher
from tests.users.operations import UPDATE_USER, log_in, sign_up

MARKS = "a" + "\u0301\u0316" * 40_000
TOO_MANY = f"must not have more than {MOST_MARKS} combining marks in a row"


@pytest.mark.parametrize(
    ("values", "code"), [({"fullName": MARKS}, "TOO_LONG"), ({"email": MARKS + "@example.com"}, "MALFORMED")]
)
async def test_what_is_much_too_long_is_refused_at_once(api: Api, values: dict[str, Any], code: str) -> None:
    began = process_time()

    (issue,) = (await sign_up(api, **values))["issues"]

    assert issue["code"] == code
    assert process_time() - began < 1


@pytest.mark.parametrize("field", ["email", "password"])
async def test_much_too_long_credentials_are_wrong_at_once(
    api: Api, market: Market, hasher: RecordingHasher, field: str
) -> None:
    user = await market.user()
    given = {"email": user.email, "password": "a wrong one", field: MARKS}
    began = process_time()

    assert (await log_in(api, given["email"], given["password"]))["__typename"] == "IncorrectCredentials"

    assert process_time() - began < 1
    assert len(hasher.calls) == (field == "email")


async def test_a_much_too_long_current_password_is_wrong_at_once(
    api: Api, market: Market, hasher: RecordingHasher
) -> None:
    user = await market.user()
    began = process_time()

    changes = {"id": gid(user), "password": "another password", "currentPassword": MARKS}
    answer = (await api.data(UPDATE_USER, {"input": changes}, user=user))["updateUser"]

    assert [issue["code"] for issue in answer["issues"]] == ["WRONG"]
    assert hasher.methods == []
    assert process_time() - began < 1


@pytest.mark.parametrize("kind", [Line, Paragraphs, SearchText])
@pytest.mark.parametrize("mark", ["\u0301", "\u0316\u0301", "\u0f73", "\uff9e\u0316", "\u0301\u034f", "\u094d\u00ad"])
def test_many_marks_in_a_row_are_malformed(kind: Any, mark: str) -> None:
    with pytest.raises(ValidationError) as refused:
        TypeAdapter(kind).validate_python("a" + mark * (MOST_MARKS + 1))

    (problem,) = refused.value.errors()
    assert (problem["type"], problem["msg"]) == ("MALFORMED", TOO_MANY)


@pytest.mark.parametrize("text", ["a" + "\u0301" * MOST_MARKS, "a\u0301" * 100, "हिन्दी " * 20, "é" * 200, "ガ" * 200])
def test_texts_of_any_language_have_few_marks_in_a_row(text: str) -> None:
    assert not has_too_many_marks(text)
    assert TypeAdapter(Line).validate_python(text)
