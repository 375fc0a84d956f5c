"""A login to the Orders API: sends the token, refreshes it, follows an order."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, Protocol, TypeVar, assert_never

import httpx
from orders_api import (
    Client,
    FollowOrderOrderUpdatedOrder,
    GraphQLClientGraphQLMultiError,
    RefreshSessionRefreshSessionIncorrectCredentials,
    RefreshSessionRefreshSessionRefreshSessionSuccess,
)
from websockets import ConnectionClosed

T = TypeVar("T")


class Missing(Exception):
    """A field is null, but there is no error."""


def present(value: T | None) -> T:
    """Return a value that is None only where something failed, which has been raised as an error already."""
    if value is None:
        raise Missing
    return value


class Tokens(Protocol):
    """The tokens of a session, whichever operation returned it."""

    access_token: str
    refresh_token: str


class Login(httpx.Auth):
    """A logged-in user. `api` sends the token with each request and refreshes it when it has expired."""

    def __init__(self, url: str) -> None:
        http: Any = httpx.AsyncClient(auth=self)  # `HttpClient` declares fewer keywords than it accepts
        self.api = Client(url, http_client=http, ws_url=url.replace("http", "ws", 1))
        self._access_token: str | None = None
        self._refresh_token = ""
        self._renewing = asyncio.Lock()
        self._written: list[str] = []

    def use(self, tokens: Tokens) -> None:
        """Use these tokens from now on."""
        self._access_token, self._refresh_token = tokens.access_token, tokens.refresh_token
        self._authorize_websockets()

    def expire(self) -> None:
        """Simulate an access token that has expired."""
        self._access_token = "expired"
        self._authorize_websockets()

    async def aclose(self) -> None:
        """Close the connections."""
        await self.api.http_client.aclose()

    async def follow(self, order_id: str) -> AsyncIterator[FollowOrderOrderUpdatedOrder]:
        """Follow an order across expired tokens and server restarts; each new stream begins with the current state."""
        while True:
            token = self._access_token
            try:
                async for event in self.api.follow_order(order_id):
                    yield event.order
            except (ConnectionClosed, OSError):  # a restarting server may refuse connections for a while
                await asyncio.sleep(1)
            except GraphQLClientGraphQLMultiError as error:
                if token is None or not _is_unauthenticated([each.original for each in error.errors]):
                    raise
                await self._renew(token)

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Send the token with a request; if it has expired, refresh it and send the request again."""
        token = self._authorize(request)
        if self._written:
            request.headers["Consistency-Token"] = ",".join(self._written)
        response = yield request
        await response.aread()
        self._note_written(response)
        if token is not None and _is_unauthenticated(response.json().get("errors", [])):
            await self._renew(token)
            self._authorize(request)
            self._note_written((yield request))

    def _authorize(self, request: httpx.Request) -> str | None:
        if self._access_token is not None:
            request.headers["Authorization"] = f"Bearer {self._access_token}"
        return self._access_token

    def _note_written(self, response: httpx.Response) -> None:
        """Keep the tokens of the last mutations, so that queries see what they wrote, even if a replica of the database
        answers them."""
        if token := response.headers.get("Consistency-Token"):
            self._written = [*(each for each in self._written if each != token), token][-10:]

    async def _renew(self, failed: str) -> None:
        """Refresh the tokens once, however many requests wait: using an old refresh token ends the session."""
        async with self._renewing:
            if self._access_token != failed:
                return
            match await self.api.refresh_session(self._refresh_token, auth=None):
                case RefreshSessionRefreshSessionRefreshSessionSuccess(session=session):
                    self.use(present(session))
                case RefreshSessionRefreshSessionIncorrectCredentials(message=message):
                    raise PermissionError(message)  # log in again
                case None:
                    raise Missing
                case never:
                    assert_never(never)

    def _authorize_websockets(self) -> None:
        self.api.ws_connection_init_payload = {"Authorization": f"Bearer {self._access_token}"}


def _is_unauthenticated(errors: list[Any]) -> bool:
    return any(error["extensions"]["code"] == "UNAUTHENTICATED" for error in errors)
