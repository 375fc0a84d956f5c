"""A client of the API, as tests use it."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import httpx2

from app.db.models import User
from app.security.tokens import AccessTokens
from app.security.viewer import Viewer
from app.settings import Settings


class Api:
    """Sends operations over HTTP, as a user who is logged in or as nobody."""

    def __init__(self, client: httpx2.AsyncClient, settings: Settings) -> None:
        self.client = client
        self._tokens = AccessTokens(settings.secret_keys, timedelta(minutes=5))

    def token(self, user: User) -> str:
        """Return an access token of the user, of the session that `Market` has opened for them."""
        return self._tokens.issue(Viewer(id=user.id, is_superuser=user.is_superuser), user.id)[0]

    async def send(
        self,
        query: str,
        variables: Mapping[str, Any] | None = None,
        *,
        user: User | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx2.Response:
        """Return the HTTP response to an operation."""
        authorization = {"Authorization": f"Bearer {self.token(user)}"} if user else {}
        return await self.client.post(
            "/graphql",
            json={"query": query, "variables": variables or {}},
            headers={**authorization, **(headers or {})},
        )

    async def execute(self, query: str, variables: Mapping[str, Any] | None = None, *, user: User | None = None) -> Any:
        """Return the whole result: data and errors."""
        response = await self.send(query, variables, user=user)
        assert response.status_code == 200, response.text
        return response.json()

    async def data(self, query: str, variables: Mapping[str, Any] | None = None, *, user: User | None = None) -> Any:
        """Return the data of an operation that must have no errors."""
        result = await self.execute(query, variables, user=user)
        assert "errors" not in result, result["errors"]
        return result["data"]

    async def error(self, query: str, variables: Mapping[str, Any] | None = None, *, user: User | None = None) -> Any:
        """Return the one error of an operation that must have one: its code, message, path and extensions."""
        result = await self.execute(query, variables, user=user)
        assert len(result.get("errors", ())) == 1, result
        (error,) = result["errors"]
        return {**error, "code": error["extensions"]["code"]}
