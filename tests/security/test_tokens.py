"""Access tokens: with an invalid one, reads run anonymously, and what needs a login explains why it failed."""

import base64
import json
import time
from datetime import UTC, datetime, timedelta
from string import Template
from typing import Any
from uuid import uuid4

import jwt
import pytest

from app.db.models import User
from app.security.tokens import AccessTokens, Login
from app.security.viewer import Viewer
from app.settings import Settings
from tests.api import Api
from tests.market import Market, gid

READ = "{ viewer { id } stores { nodes { id } } }"
CREATE_STORE = """
mutation { createStore(input: {
  name: "Tea", street: "Main Street 1", postcode: "10115", city: "Berlin", country: "DE", currency: "EUR"
}) { __typename } }
"""
NOT_VALID = "The access token is not valid."
EXPIRED = "The access token has expired. Use refreshSession to get a new one."
WRONG_SCHEME = "The Authorization header must be `Bearer` and an access token."
ANOTHER_KEY = "another key, which also has more than 32 characters"


def key(settings: Settings) -> str:
    return settings.secret_key.get_secret_value()


def claims(user: User, **others: Any) -> dict[str, Any]:
    soon = datetime.now(UTC) + timedelta(minutes=5)
    return {"iss": "orders-api", "sub": str(user.id), "superuser": False, "exp": soon, **others}


def signed(settings: Settings, user: User, *, without: str | None = None, **others: Any) -> str:
    content = claims(user, **others)
    if without:
        del content[without]
    return jwt.encode(content, key(settings), algorithm="HS256")


def tampered(settings: Settings, user: User) -> str:
    """A token whose claims were changed after it was signed."""
    header, _, signature = signed(settings, user).split(".")
    content = {**claims(user), "exp": 4_000_000_000, "superuser": True}
    payload = base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")
    return f"{header}.{payload}.{signature}"


def bad_authorization(fault: str, settings: Settings, user: User) -> str:
    match fault:
        case "expired":
            return f"Bearer {signed(settings, user, exp=datetime.now(UTC) - timedelta(seconds=1))}"
        case "tampered":
            return f"Bearer {tampered(settings, user)}"
        case "algorithm none":
            return f"Bearer {jwt.encode(claims(user), '', algorithm='none')}"
        case "another algorithm":
            return f"Bearer {jwt.encode(claims(user), key(settings) * 2, algorithm='HS512')}"
        case "another algorithm, same key":
            return f"Bearer {jwt.encode(claims(user), key(settings), algorithm='HS384')}"
        case "another key":
            return f"Bearer {jwt.encode(claims(user), ANOTHER_KEY, algorithm='HS256')}"
        case "another issuer":
            return f"Bearer {signed(settings, user, iss='another-api')}"
        case "no issuer":
            return f"Bearer {signed(settings, user, without='iss')}"
        case "never expires":
            return f"Bearer {signed(settings, user, without='exp')}"
        case "of nobody":
            return f"Bearer {signed(settings, user, without='sub')}"
        case "of no user":
            return f"Bearer {signed(settings, user, sub='ada')}"
        case "of no session":
            return f"Bearer {signed(settings, user, sid='ada')}"
        case "another scheme":
            return f"Basic {signed(settings, user)}"
        case "no scheme":
            return signed(settings, user)
        case "no token":
            return "Bearer"
        case "not a token":
            return "Bearer a.b.c"
    raise ValueError(fault)


FAULTS = [
    ("expired", EXPIRED),
    ("tampered", NOT_VALID),
    ("algorithm none", NOT_VALID),
    ("another algorithm", NOT_VALID),
    ("another algorithm, same key", NOT_VALID),
    ("another key", NOT_VALID),
    ("another issuer", NOT_VALID),
    ("no issuer", NOT_VALID),
    ("never expires", NOT_VALID),
    ("of nobody", NOT_VALID),
    ("of no user", NOT_VALID),
    ("of no session", NOT_VALID),
    ("another scheme", WRONG_SCHEME),
    ("no scheme", WRONG_SCHEME),
    ("no token", NOT_VALID),
    ("not a token", NOT_VALID),
]
every_fault = pytest.mark.parametrize(("fault", "reason"), FAULTS, ids=[fault for fault, _ in FAULTS])


async def read_with_an_expired_token(api: Api, market: Market, settings: Settings, query: str) -> Any:
    """Return the result of a query; `$order` and so on are ids of what the user of the token may see."""
    user, now = await market.user(full_name="Ada"), datetime.now(UTC)
    store = await market.store(user)
    things = {
        "user": user,
        "store": store,
        "order": await market.order(user, await market.product(store)),
        "deletedStore": await market.store(user, deleted_at=now),
        "deletedProduct": await market.product(store, deleted_at=now),
    }
    ids = {name: f'"{gid(thing)}"' for name, thing in things.items()} | {"stranger": f'"User_{uuid4()}"'}
    headers = {"Authorization": bad_authorization("expired", settings, user)}
    return (await api.send(f"{{ {Template(query).substitute(ids)} }}", headers=headers)).json()


@every_fault
@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
async def test_with_a_bad_token_reading_goes_on_as_nobody(
    api: Api, market: Market, settings: Settings, fault: str, reason: str
) -> None:
    user = await market.user()
    store = await market.store(user)

    response = await api.send(READ, headers={"Authorization": bad_authorization(fault, settings, user)})

    result = response.json()
    assert result["data"] == {"viewer": None, "stores": {"nodes": [{"id": gid(store)}]}}
    (error,) = result["errors"]
    assert error["path"] == ["viewer"]
    assert error["extensions"]["code"] == "UNAUTHENTICATED"
    assert error["message"] == reason


@every_fault
@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
async def test_with_a_bad_token_nothing_is_changed(
    api: Api, market: Market, settings: Settings, fault: str, reason: str
) -> None:
    user = await market.superuser()

    response = await api.send(CREATE_STORE, headers={"Authorization": bad_authorization(fault, settings, user)})

    result = response.json()
    assert result["data"] == {"createStore": None}
    (error,) = result["errors"]
    assert error["extensions"]["code"] == "UNAUTHENTICATED"
    assert error["message"] == reason
    assert (await api.data("{ stores { totalCount } }"))["stores"]["totalCount"] == 0


@pytest.mark.parametrize("query", ["{ users { totalCount } }", "{ orders { totalCount } }"])
async def test_with_a_bad_token_a_list_that_needs_a_login_says_why_not(
    api: Api, market: Market, settings: Settings, query: str
) -> None:
    authorization = bad_authorization("expired", settings, await market.superuser())

    (error,) = (await api.send(query, headers={"Authorization": authorization})).json()["errors"]

    assert error["extensions"]["code"] == "UNAUTHENTICATED"
    assert error["message"] == EXPIRED


@pytest.mark.parametrize(
    ("query", "data"),
    [
        ("order(id: $order) { id }", None),
        ("store(id: $deletedStore) { id }", None),
        ("product(id: $deletedProduct) { id }", None),
        ("user(id: $stranger) { id }", None),
        ("node(id: $order) { id }", None),
        ("user(id: $user) { fullName email }", {"fullName": "Ada", "email": None}),
    ],
)
async def test_with_a_bad_token_what_it_might_have_shown_is_refused_not_denied(
    api: Api, market: Market, settings: Settings, query: str, data: Any
) -> None:
    result = await read_with_an_expired_token(api, market, settings, query)

    assert [*result["data"].values()] == [data]
    (error,) = result["errors"]
    assert error["extensions"]["code"] == "UNAUTHENTICATED"
    assert error["message"] == EXPIRED


@pytest.mark.parametrize(
    "query", ["user(id: $user) { orders { totalCount } }", "store(id: $store) { orders { totalCount } }"]
)
async def test_with_a_bad_token_a_list_that_is_null_says_why(
    api: Api, market: Market, settings: Settings, query: str
) -> None:
    result = await read_with_an_expired_token(api, market, settings, query)

    assert [*result["data"].values()] == [{"orders": None}]
    (error,) = result["errors"]
    assert error["path"] == [*result["data"], "orders"]
    assert (error["extensions"]["code"], error["message"]) == ("UNAUTHENTICATED", EXPIRED)


async def test_with_a_bad_token_each_of_many_is_shown_or_refused_in_its_place(
    api: Api, market: Market, settings: Settings
) -> None:
    query = "nodes(ids: [$store, $order, $store, $deletedStore]) { __typename }"

    result = await read_with_an_expired_token(api, market, settings, query)

    assert result["data"] == {"nodes": [{"__typename": "Store"}, None, {"__typename": "Store"}, None]}
    errors = [(error["path"], error["extensions"]["code"]) for error in result["errors"]]
    assert errors == [(["nodes", 1], "UNAUTHENTICATED"), (["nodes", 3], "UNAUTHENTICATED")]


async def test_with_a_bad_token_what_everyone_sees_is_shown(api: Api, market: Market, settings: Settings) -> None:
    query = "user(id: $user) { fullName stores { totalCount } } node(id: $store) { __typename }"

    result = await read_with_an_expired_token(api, market, settings, query)

    assert "errors" not in result
    assert result["data"] == {"user": {"fullName": "Ada", "stores": {"totalCount": 1}}, "node": {"__typename": "Store"}}


async def test_with_a_bad_token_a_failed_login_is_still_only_that(api: Api, market: Market, settings: Settings) -> None:
    authorization = bad_authorization("expired", settings, await market.user())
    refresh = 'mutation { refreshSession(input: { refreshToken: "unknown" }) { __typename } }'

    result = (await api.send(refresh, headers={"Authorization": authorization})).json()

    assert result["data"] == {"refreshSession": {"__typename": "IncorrectCredentials"}}


async def test_a_good_token_is_read_whatever_the_case_of_its_scheme(api: Api, market: Market) -> None:
    user = await market.user()

    response = await api.send("{ viewer { id } }", headers={"Authorization": f"bEARER {api.token(user)}"})

    assert response.json()["data"] == {"viewer": {"id": gid(user)}}


async def test_without_a_token_the_viewer_is_nobody(api: Api) -> None:
    assert await api.data("{ viewer { id } }") == {"viewer": None}


async def test_without_a_token_a_mutation_says_that_a_login_is_needed(api: Api) -> None:
    error = await api.error(CREATE_STORE)

    assert error["code"] == "UNAUTHENTICATED"
    assert error["message"] == "You must be logged in for this."


@pytest.mark.parametrize("claim", ["true", 1, "false", None, [True]])
async def test_only_true_makes_a_superuser(market: Market, settings: Settings, claim: object) -> None:
    user = await market.user()
    tokens = AccessTokens(key(settings), timedelta(minutes=5))

    for given, is_superuser in ((claim, False), (True, True)):
        login = tokens.login(f"Bearer {signed(settings, user, superuser=given)}")
        assert login.viewer == Viewer(id=user.id, is_superuser=is_superuser)


async def test_a_token_of_the_first_release_is_good_and_belongs_to_no_session(
    api: Api, market: Market, settings: Settings
) -> None:
    user = await market.user()
    token = signed(settings, user)  # without `sid`

    response = await api.send("{ viewer { id } }", headers={"Authorization": f"Bearer {token}"})

    assert response.json()["data"] == {"viewer": {"id": gid(user)}}
    login = AccessTokens(key(settings), timedelta(minutes=5)).login(f"Bearer {token}")
    assert (login.viewer, login.session_id) == (Viewer(id=user.id), None)


async def test_a_token_is_good_until_it_expires(market: Market, settings: Settings) -> None:
    viewer = Viewer(id=(await market.user()).id, is_superuser=True)
    before, session_id = datetime.now(UTC), uuid4()

    token, expires_at = AccessTokens(key(settings), timedelta(minutes=7)).issue(viewer, session_id)

    login = AccessTokens(key(settings), timedelta(0)).login(f"Bearer {token}")
    assert login == Login(viewer, None, expires_at.timestamp(), session_id)
    assert before + timedelta(minutes=6, seconds=58) < expires_at <= datetime.now(UTC) + timedelta(minutes=7)
    content = jwt.decode(token, options={"verify_signature": False})
    assert content["exp"] == expires_at.timestamp()
    assert content["sid"] == str(session_id)


def test_a_token_that_lives_for_no_time_is_refused(settings: Settings) -> None:
    tokens = AccessTokens(key(settings), timedelta(seconds=-1))

    login = tokens.login(f"Bearer {tokens.issue(Viewer(id=uuid4()), uuid4())[0]}")

    assert login == Login(refusal=login.refusal)
    assert "expired" in str(login.refusal)


def test_a_token_that_was_read_while_it_was_good_is_refused_once_it_has_expired(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tokens = AccessTokens("a" * 32, timedelta(minutes=5))
    token, expires_at = tokens.issue(Viewer(id=uuid4()), uuid4())
    assert tokens.login(f"Bearer {token}").viewer is not None

    monkeypatch.setattr(time, "time", lambda: expires_at.timestamp())

    login = tokens.login(f"Bearer {token}")
    assert login == Login(refusal=login.refusal)
    assert "expired" in str(login.refusal)
