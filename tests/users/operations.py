"""What several tests of accounts send."""

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.models import RefreshToken, Session, User
from tests.api import Api
from tests.market import PASSWORD

_SESSION = "session { accessToken refreshToken expiresAt user { id email fullName isSuperuser } }"
_FAILURES = "... on Conflict { path code message } ... on InvalidInput { message issues { path code message } }"

SIGN_UP = f"""
mutation ($input: SignUpInput!) {{
  signUp(input: $input) {{ __typename ... on SignUpSuccess {{ {_SESSION} }} {_FAILURES} }}
}}
"""
LOG_IN = f"""
mutation ($email: String!, $password: String!) {{
  logIn(input: {{ email: $email, password: $password }}) {{
    __typename ... on LogInSuccess {{ {_SESSION} }} ... on IncorrectCredentials {{ message }}
  }}
}}
"""
REFRESH = f"""
mutation ($token: String!) {{
  refreshSession(input: {{ refreshToken: $token }}) {{
    __typename ... on RefreshSessionSuccess {{ {_SESSION} }} ... on IncorrectCredentials {{ message }}
  }}
}}
"""
LOG_OUT = """
mutation ($token: String!) {
  logOut(input: { refreshToken: $token }) { __typename ... on LogOutSuccess { wasOpen } }
}
"""
UPDATE_USER = f"""
mutation ($input: UpdateUserInput!) {{
  updateUser(input: $input) {{
    __typename
    ... on UpdateUserSuccess {{ user {{ id email fullName isSuperuser }} }}
    ... on NotFound {{ missingId message }}
    {_FAILURES}
  }}
}}
"""
DELETE_USER = """
mutation ($id: ID!) {
  deleteUser(input: { id: $id }) {
    __typename ... on DeleteUserSuccess { deletedUserId } ... on NotFound { missingId message }
  }
}
"""
ADA = {"email": "ada@example.com", "password": "a long password", "fullName": "Ada Lovelace"}
NOBODY = "User_00000000-0000-7000-8000-000000000000"
REFUSED = {"__typename": "IncorrectCredentials", "message": "Wrong email, password, or token."}


async def sign_up(api: Api, **values: Any) -> Any:
    return (await api.data(SIGN_UP, {"input": {**ADA, **values}}))["signUp"]


async def log_in(api: Api, user: User | str, password: str = PASSWORD) -> Any:
    email = user if isinstance(user, str) else user.email
    return (await api.data(LOG_IN, {"email": email, "password": password}))["logIn"]


async def refresh(api: Api, token: str, *, key: str | None = None) -> Any:
    headers = {} if key is None else {"Idempotency-Key": key}
    return (await api.send(REFRESH, {"token": token}, headers=headers)).json()["data"]["refreshSession"]


async def log_out(api: Api, token: str) -> Any:
    """Return whether the session was still open."""
    return (await api.data(LOG_OUT, {"token": token}))["logOut"]["wasOpen"]


def bearer(session: Any) -> dict[str, str]:
    """Return the headers of a session's requests."""
    return {"Authorization": f"Bearer {session['accessToken']}"}


async def logged_in(api: Api, user: User) -> str:
    """Return the refresh token of a new login."""
    return str((await log_in(api, user))["session"]["refreshToken"])


# What the API has begun and issued, without the session that `Market` opens for each user.
BEGUN = Session.id.not_in(select(User.id))
ISSUED = RefreshToken.session_id.not_in(select(User.id))
SESSIONS = select(func.count(Session.id)).where(BEGUN)
REFRESH_TOKENS = select(func.count(RefreshToken.id)).where(ISSUED)


async def value(connection: AsyncConnection, statement: Any) -> Any:
    """Return the one value that a statement reads, as it stands in the database."""
    return (await connection.execute(statement)).scalar_one()
