"""What an operation finds in `info.context`, made out of the headers that came with it."""

from datetime import timedelta
from typing import NamedTuple

from starlette.datastructures import Headers

from app.db.engine import Database
from app.errors import Unauthenticated
from app.graphql.compiled.path import CompiledPath
from app.graphql.context import Context
from app.graphql.operations.cancellation import Watch
from app.graphql.operations.documents import Documents, GraphQLRequest
from app.graphql.operations.explain import HEADER
from app.graphql.operations.rate_limits import RateLimits
from app.graphql.subscriptions.manager import Live
from app.idempotency import service as idempotency
from app.monitoring.monitor import Monitor
from app.monitoring.operation_log import Report
from app.security.passwords import Turns
from app.security.tokens import AccessTokens
from app.security.viewer import Viewer
from app.settings import Environment, Settings


class Login(NamedTuple):
    """Who sends a request, as its access token tells: nobody without one, and where it is refused."""

    viewer: Viewer | None = None
    refusal: Unauthenticated | None = None
    expires_at: float | None = None
    """In seconds since 1970."""


_NOBODY = Login()


class Contexts:
    """Makes the context of an operation out of a request's headers."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        documents: Documents,
        rates: RateLimits,
        monitor: Monitor,
        compiled: CompiledPath | None = None,
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
        self._compiled = compiled
        self._live = live
        self._access_tokens = AccessTokens(secret_key, timedelta(minutes=settings.access_token_minutes))
        self._idempotency_secrets = idempotency.Secrets.of(secret_key)

    def login(self, headers: Headers) -> Login:
        """Return who sends the request."""
        header = headers.get("authorization")
        if header is None:
            return _NOBODY
        try:
            token = _bearer_token(header)
            return Login(self._access_tokens.read(token), expires_at=self._access_tokens.expires_at(token))
        except Unauthenticated as refusal:
            return Login(refusal=refusal)

    def explains(self, headers: Headers, login: Login) -> bool:
        """Tell whether the response explains itself: to superusers, and to anyone in development, if they ask."""
        if HEADER not in headers or login.refusal is not None:
            return False
        is_superuser = login.viewer is not None and login.viewer.is_superuser
        return is_superuser or self._settings.app_env is Environment.DEVELOPMENT

    def context(self, login: Login, request_id: str, address: str, explained: Report | None = None) -> Context:
        """Return what an operation works with; a token that is no good is refused where a login is needed."""
        return Context(
            database=self._database,
            settings=self._settings,
            access_tokens=self._access_tokens,
            password_turns=self._password_turns,
            watch=self.watch,
            documents=self.documents,
            rates=self.rates,
            monitor=self.monitor,
            compiled=self._compiled,
            live=self._live,
            request_id=request_id,
            address=address,
            token_viewer=login.viewer,
            refused_token=login.refusal,
            token_expires_at=login.expires_at,
            explained=explained,
        )

    def make_idempotent(self, context: Context, headers: Headers, request: GraphQLRequest) -> None:
        """Let the operation happen once, where the request has an idempotency key."""
        key = headers.get(idempotency.HEADER)
        if key is not None:
            viewer_id = context.token_viewer.id if context.token_viewer else None
            context.idempotent_request = idempotency.IdempotentRequest(
                key, viewer_id, tuple(request), self._idempotency_secrets
            )


def _bearer_token(header: str) -> str:
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthenticated("The Authorization header must be `Bearer` and an access token.")
    return token.strip()
