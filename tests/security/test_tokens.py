"""Access tokens: with an invalid one, a request is refused as a whole, unless it is about logging in."""

import base64
import hashlib
import hmac
import json
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import uuid4

import jwt
import pytest

from app.db.models import User
from app.errors import Unauthenticated
from app.security.tokens import LEEWAY, AccessTokens, Login
from app.security.viewer import Viewer
from app.settings import Settings
from tests.api import Api
from tests.market import Market, gid
from tests.statements import Statements

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
    return {"iss": "orders-api", "sub": str(user.id), "sid": str(user.id), "superuser": False, "exp": soon, **others}


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
            return f"Bearer {signed(settings, user, exp=datetime.now(UTC) - timedelta(seconds=31))}"
        case "issued tomorrow":
            return f"Bearer {signed(settings, user, iat=datetime.now(UTC) + timedelta(days=1))}"
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
        case "of 1.0.0":
            return f"Bearer {signed(settings, user, without='sid')}"
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
    ("issued tomorrow", NOT_VALID),
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
    ("of 1.0.0", NOT_VALID),
    ("of no session", NOT_VALID),
    ("another scheme", WRONG_SCHEME),
    ("no scheme", WRONG_SCHEME),
    ("no token", NOT_VALID),
    ("not a token", NOT_VALID),
]
every_fault = pytest.mark.parametrize(("fault", "reason"), FAULTS, ids=[fault for fault, _ in FAULTS])


@every_fault
@pytest.mark.parametrize("document", [READ, CREATE_STORE], ids=["query", "mutation"])
@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
async def test_with_a_bad_token_a_request_is_refused_before_anything_runs(
    api: Api, market: Market, settings: Settings, statements: Statements, fault: str, reason: str, document: str
) -> None:
    authorization = bad_authorization(fault, settings, await market.superuser())
    statements.clear()

    response = await api.send(document, headers={"Authorization": authorization})

    assert response.status_code == 200
    error = {"message": reason, "extensions": {"code": "UNAUTHENTICATED"}}
    assert response.json() == {"errors": [error], "extensions": response.json()["extensions"]}
    assert len(statements) == 0


async def test_the_status_of_a_bad_token_is_401_where_the_media_type_allows_that(
    api: Api, market: Market, settings: Settings
) -> None:
    headers = {"Authorization": bad_authorization("expired", settings, await market.user())}

    response = await api.send(READ, headers={**headers, "Accept": "application/graphql-response+json"})

    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ('logIn(input: { email: "a@b.example", password: "wrong" }) { __typename }', ["IncorrectCredentials"]),
        ('signUp(input: { email: "", password: "", fullName: "" }) { __typename }', ["InvalidInput"]),
        ('refreshSession(input: { refreshToken: "unknown" }) { __typename }', ["IncorrectCredentials"]),
        ('logOut(input: { refreshToken: "unknown" }) { __typename }', ["LogOutSuccess"]),
        ("...Several __typename", ["IncorrectCredentials", "Mutation"]),
    ],
)
async def test_a_bad_token_is_ignored_by_what_is_about_logging_in(
    api: Api, market: Market, settings: Settings, fields: str, names: list[str]
) -> None:
    """A client may send its stale token with everything."""
    authorization = bad_authorization("expired", settings, await market.user())
    document = f"mutation {{ {fields} }}"
    if "...Several" in fields:
        document += """
        fragment Several on Mutation {
          ... { refreshSession(input: { refreshToken: "unknown" }) { __typename } }
        }"""

    result = (await api.send(document, headers={"Authorization": authorization})).json()

    found = [value if isinstance(value, str) else value["__typename"] for value in result["data"].values()]
    assert sorted(found) == names
    assert "errors" not in result


async def test_a_bad_token_is_not_ignored_where_anything_else_is_asked_for_too(
    api: Api, market: Market, settings: Settings
) -> None:
    authorization = bad_authorization("expired", settings, await market.user())
    create = CREATE_STORE.strip().removeprefix("mutation {").removesuffix("}")
    document = f'mutation {{ logOut(input: {{ refreshToken: "unknown" }}) {{ __typename }} ... {{ {create} }} }}'

    result = (await api.send(document, headers={"Authorization": authorization})).json()

    assert [error["extensions"]["code"] for error in result["errors"]] == ["UNAUTHENTICATED"]
    assert "data" not in result


async def test_what_is_wrong_with_a_document_is_said_whatever_the_token_is(api: Api) -> None:
    """A mistake in what refreshes a token must not look as if the token were to be refreshed."""
    document = 'mutation { refreshSession(input: { refreshToken: "unknown" }) { tokens } }'

    (error,) = (await api.send(document, headers={"Authorization": "Bearer bad"})).json()["errors"]

    assert error["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"


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
    tokens = AccessTokens(settings.secret_keys, timedelta(minutes=5))

    for given, is_superuser in ((claim, False), (True, True)):
        login = tokens.login(f"Bearer {signed(settings, user, superuser=given)}")
        assert login.viewer == Viewer(id=user.id, is_superuser=is_superuser)


async def test_a_token_of_2_0_0_is_good(api: Api, market: Market, settings: Settings) -> None:
    """It names no key."""
    user = await market.user()
    headers = {"Authorization": f"Bearer {signed(settings, user)}"}

    for document in ("{ viewer { id } }", CREATE_STORE):
        response = await api.send(document, headers=headers)
        assert "errors" not in response.json()


def test_a_token_is_good_until_it_expires(settings: Settings) -> None:
    viewer, session_id = Viewer(id=uuid4(), is_superuser=True), uuid4()
    before = datetime.now(UTC)

    token, expires_at = AccessTokens(settings.secret_keys, timedelta(minutes=7)).issue(viewer, session_id)

    login = AccessTokens(settings.secret_keys, timedelta(0)).login(f"Bearer {token}")
    assert login == Login(viewer, (expires_at + LEEWAY).timestamp(), session_id)
    assert before + timedelta(minutes=6, seconds=58) < expires_at <= datetime.now(UTC) + timedelta(minutes=7)
    content = jwt.decode(token, options={"verify_signature": False})
    assert content["exp"] == expires_at.timestamp()
    assert content["sid"] == str(session_id)


@pytest.mark.parametrize("claim", ["iat", "exp"])
def test_the_clocks_of_two_servers_may_differ_by_half_a_minute(settings: Settings, claim: str) -> None:
    user, now = User(id=uuid4()), datetime.now(UTC)
    tokens, sign = AccessTokens(settings.secret_keys, timedelta(minutes=5)), -1 if claim == "exp" else 1

    near, far = [signed(settings, user, without=None, **{claim: now + sign * timedelta(seconds=n)}) for n in (25, 35)]

    assert tokens.login(f"Bearer {near}").viewer == Viewer(id=user.id)
    with pytest.raises(Unauthenticated):
        tokens.login(f"Bearer {far}")


def test_a_token_that_was_read_while_it_was_good_is_refused_once_it_has_expired(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tokens = AccessTokens(("a" * 32,), timedelta(minutes=5))
    token, expires_at = tokens.issue(Viewer(id=uuid4()), uuid4())

    for seconds in (0, 29):
        monkeypatch.setattr(time, "time", lambda: expires_at.timestamp() + seconds)  # noqa: B023  # called at once
        assert tokens.login(f"Bearer {token}").viewer is not None

    monkeypatch.setattr(time, "time", lambda: (expires_at + LEEWAY).timestamp())
    with pytest.raises(Unauthenticated, match="expired"):
        tokens.login(f"Bearer {token}")


def test_a_secret_key_can_be_replaced_while_tokens_are_in_use() -> None:
    """First all processes verify with the new key, too, then all sign with it, then the old one goes."""
    old, new = "a" * 32, "b" * 32
    steps = [AccessTokens(keys, timedelta(minutes=5)) for keys in ((old,), (old, new), (new, old), (new,))]
    issued = [f"Bearer {tokens.issue(Viewer(id=uuid4()), uuid4())[0]}" for tokens in steps]

    for earlier, later in pairwise(range(len(steps))):
        for reader, writer in ((earlier, later), (later, earlier)):
            if {reader, writer} != {2, 3} or writer == 3:  # what the old key signed has expired by the last step
                assert steps[reader].login(issued[writer]).viewer is not None
    with pytest.raises(Unauthenticated):
        steps[3].login(issued[1])


@pytest.mark.parametrize("keys", [("a" * 32, "b" * 32), ("b" * 32, "a" * 32)])
def test_a_token_that_names_no_key_is_verified_with_each(keys: tuple[str, ...]) -> None:
    claims = {"iss": "orders-api", "sub": str(uuid4()), "sid": str(uuid4()), "exp": 4_000_000_000}
    token = jwt.encode(claims, "a" * 32, algorithm="HS256")

    assert AccessTokens(keys, timedelta(0)).login(f"Bearer {token}").viewer is not None


def test_a_token_names_its_key_and_does_not_reveal_it() -> None:
    one, same, other = [AccessTokens((secret * 32,), timedelta(minutes=5)) for secret in "aab"]

    key_ids = [
        jwt.get_unverified_header(tokens.issue(Viewer(id=uuid4()), uuid4())[0])["kid"] for tokens in (one, same, other)
    ]

    assert key_ids[0] == key_ids[1] != key_ids[2]
    assert hashlib.sha256(b"a" * 32).hexdigest()[:8] not in key_ids[0]


@pytest.mark.parametrize("key_id", ["unknown", "", 1, None, ["a"]])
def test_a_token_that_names_another_key_is_refused(key_id: object) -> None:
    claims = {"iss": "orders-api", "sub": str(uuid4()), "sid": str(uuid4()), "exp": 4_000_000_000}
    header = base64.urlsafe_b64encode(json.dumps({"alg": "HS256", "kid": key_id}).encode()).rstrip(b"=")
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=")
    signature = hmac.digest(b"a" * 32, header + b"." + payload, "sha256")
    token = b".".join((header, payload, base64.urlsafe_b64encode(signature).rstrip(b"="))).decode()

    with pytest.raises(Unauthenticated, match="not valid"):
        AccessTokens(("a" * 32,), timedelta(0)).login(f"Bearer {token}")
