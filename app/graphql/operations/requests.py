"""A request for one operation, as every transport decodes it, and who sent it."""

from collections.abc import Callable
from typing import Any, NamedTuple

from starlette.types import Receive

from app.errors import Unauthenticated
from app.graphql.operations.documents import GraphQLRequest, RequestedOperation
from app.security.tokens import AccessTokens
from app.security.viewer import Viewer


class Login(NamedTuple):
    """Who sent a request, according to its access token; nobody without a token, or with one that was refused."""

    viewer: Viewer | None = None
    refusal: Unauthenticated | None = None
    expires_at: float | None = None
    """In seconds since 1970."""

    @classmethod
    def of(cls, authorization: str, tokens: AccessTokens) -> "Login":
        """Read an Authorization header."""
        try:
            scheme, _, token = authorization.partition(" ")
            if scheme.lower() != "bearer":
                raise Unauthenticated("The Authorization header must be `Bearer` and an access token.")
            return cls(tokens.read(token.strip()), expires_at=tokens.expires_at(token.strip()))
        except Unauthenticated as refusal:
            return cls(refusal=refusal)


NOBODY = Login()


def _accept(_: RequestedOperation) -> None:
    """Accept any operation."""


class OperationRequest(NamedTuple):
    """What a transport knows of one operation before it is parsed."""

    document: GraphQLRequest
    id: str
    address: str
    """The client's network address."""
    authorization: str | None = None
    idempotency_key: str | None = None
    explain: bool = False
    """Whether the client asks for `extensions.explain`."""
    receive: Receive | None = None
    """Reports that the client has disconnected; None where the transport cancels the operation itself."""
    check: Callable[[RequestedOperation], Any] = _accept
    """Raises RequestError for an operation that this transport cannot carry."""
