"""What a request over HTTP holds for its operation: the document, who asks, and what the operation will work with."""

from contextlib import suppress
from datetime import timedelta
from typing import Any, NamedTuple

from starlette.datastructures import Headers

from app.database import Database
from app.errors import Unauthenticated
from app.graphql.cancellation import Watch
from app.graphql.compiled.lane import CompiledLane
from app.graphql.context import Context
from app.graphql.documents import Documents
from app.graphql.explain import HEADER, Explanation
from app.graphql.live import Live
from app.graphql.rates import RateLimits
from app.idempotency import service as idempotency
from app.monitoring.monitor import Monitor
from app.security.passwords import Turns
from app.security.tokens import AccessTokens
from app.security.viewer import Viewer
from app.settings import Environment, Settings


class Operation(NamedTuple):
    """What is to be executed."""

    query: str | None
    variables: dict[str, Any] | None
    name: str | None


class Contexts:
    """Makes the context of an operation out of a request's headers."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        documents: Documents,
        rates: RateLimits,
        monitor: Monitor,
        lane: CompiledLane | None = None,
        live: Live | None = None,
    ) -> None:
        self.documents = documents
        self.rates = rates
        self.monitor = monitor
        secret_key = settings.secret_key.get_secret_value()
        self._password_turns = Turns(settings.database_pool_size)
        self.watch = Watch(settings.operation_timeout_seconds)
        self._database = database
        self._settings = settings
        self._lane = lane
        self._live = live
        self._access_tokens = AccessTokens(secret_key, timedelta(minutes=settings.access_token_minutes))
        self._idempotency_secrets = idempotency.Secrets.of(secret_key)

    def viewer(self, headers: Headers) -> Viewer | None:
        """Return who sends the request, as the access token tells; Unauthenticated where that is no good."""
        token = _bearer_token(headers)
        return None if token is None else self._access_tokens.read(token)

    def explanation(self, headers: Headers) -> Explanation | None:
        """Return what is to explain the operation: to superusers, and to anyone in development, if they ask."""
        if HEADER not in headers:
            return None
        with suppress(Unauthenticated):
            viewer = self.viewer(headers)
            is_superuser = viewer is not None and viewer.is_superuser
            return Explanation() if is_superuser or self._settings.app_env is Environment.DEVELOPMENT else None
        return None

    def asking(self, headers: Headers) -> Viewer | None:
        """Return who sends the request, nobody where the access token is no good."""
        with suppress(Unauthenticated):
            return self.viewer(headers)
        return None

    def context(
        self, headers: Headers, request_id: str, address: str, explanation: Explanation | None = None
    ) -> Context:
        """Return what the operation works with; a token that is no good is refused where a login is needed."""
        viewer, refusal, expires_at = None, None, None
        try:
            token = _bearer_token(headers)
            if token is not None:
                viewer, expires_at = self._access_tokens.read(token), self._access_tokens.expires_at(token)
        except Unauthenticated as refused:
            refusal = refused
        return Context(
            self._database,
            self._settings,
            self._access_tokens,
            self._password_turns,
            self.watch,
            request_id,
            self.documents,
            self.rates,
            address,
            self.monitor,
            viewer,
            refusal,
            explanation=explanation,
            lane=self._lane,
            live=self._live,
            token_expires_at=expires_at,
        )

    def make_idempotent(self, context: Context, headers: Headers, operation: Operation) -> None:
        """Let the operation happen once, where the request has an idempotency key."""
        key = headers.get(idempotency.HEADER)
        if key is not None:
            viewer_id = context.token_viewer.id if context.token_viewer else None
            context.idempotent_request = idempotency.IdempotentRequest(
                key, viewer_id, tuple(operation), self._idempotency_secrets
            )


def _bearer_token(headers: Headers) -> str | None:
    header = headers.get("authorization")
    if header is None:
        return None
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthenticated("The Authorization header must be `Bearer` and an access token.")
    return token.strip()
