"""What several tests of accounts send."""

from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.models import User
from tests.api import Api
from tests.market import PASSWORD

_SESSION = "... on Session { accessToken refreshToken expiresAt user { id email fullName isSuperuser } }"
_FAILURES = "... on Conflict { field message } ... on InvalidInput { message issues { path message } }"

SIGN_UP = f"mutation ($input: SignUpInput!) {{ signUp(input: $input) {{ __typename {_SESSION} {_FAILURES} }} }}"
LOG_IN = f"""
mutation ($email: String!, $password: String!) {{
  logIn(input: {{email: $email, password: $password}}) {{
    __typename {_SESSION} ... on IncorrectCredentials {{ message }}
  }}
}}
"""
REFRESH = f"""
mutation ($token: String!) {{
  refreshSession(refreshToken: $token) {{ __typename {_SESSION} ... on IncorrectCredentials {{ message }} }}
}}
"""
LOG_OUT = "mutation ($token: String!) { logOut(refreshToken: $token) }"
UPDATE_USER = f"""
mutation ($input: UpdateUserInput!) {{
  updateUser(input: $input) {{
    __typename ... on User {{ id email fullName isSuperuser }} ... on NotFound {{ id message }} {_FAILURES}
  }}
}}
"""
DELETE_USER = """
mutation ($id: ID!) {
  deleteUser(id: $id) { __typename ... on UserDeleted { id } ... on NotFound { id message } }
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


async def refresh(api: Api, token: str) -> Any:
    return (await api.data(REFRESH, {"token": token}))["refreshSession"]


async def log_out(api: Api, token: str) -> Any:
    return (await api.data(LOG_OUT, {"token": token}))["logOut"]


async def logged_in(api: Api, user: User) -> str:
    """Return the refresh token of a new login."""
    session = await log_in(api, user)
    assert session["__typename"] == "Session"
    return str(session["refreshToken"])


async def value(connection: AsyncConnection, statement: Any) -> Any:
    """Return the one value that a statement reads, as it stands in the database."""
    return (await connection.execute(statement)).scalar_one()
