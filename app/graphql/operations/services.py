"""What every operation of a process shares."""

from dataclasses import dataclass

from graphql import GraphQLSchema

from app.db.engine import Database
from app.graphql.compiled.path import CompiledPath
from app.graphql.operations.cancellation import Watch
from app.graphql.operations.documents import Documents
from app.graphql.operations.rate_limits import RateLimits
from app.graphql.subscriptions.manager import SubscriptionManager
from app.idempotency.service import Secrets
from app.monitoring.monitor import Monitor
from app.security.tokens import AccessTokens
from app.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Services:
    """The parts that live as long as the process."""

    settings: Settings
    schema: GraphQLSchema
    database: Database
    access_tokens: AccessTokens
    idempotency_secrets: Secrets
    documents: Documents
    rate_limits: RateLimits
    watch: Watch
    monitor: Monitor
    subscriptions: SubscriptionManager
    compiled: CompiledPath | None
    """None if every operation takes the resolver path."""
