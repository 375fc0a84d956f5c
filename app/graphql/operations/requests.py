"""A request for one operation, as every transport decodes it."""

from collections.abc import Callable
from typing import Any, NamedTuple

from starlette.types import Receive

from app.graphql.operations.documents import GraphQLRequest, RequestedOperation


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
