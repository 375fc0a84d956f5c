"""What every operation of a process shares."""

from collections.abc import Hashable
from dataclasses import dataclass

from graphql import GraphQLSchema

from app.db.engine import Database
from app.graphql.compiled.path import CompiledPath
from app.graphql.operations.cache import Cache
from app.graphql.operations.cancellation import Watch
from app.graphql.operations.documents import Documents
from app.graphql.operations.rate_limits import RateLimits
from app.graphql.operations.responses import Response
from app.graphql.operations.shares import Shares
from app.graphql.subscriptions.manager import SubscriptionManager
from app.graphql.subscriptions.sessions import LiveSessions
from app.idempotency.service import Secrets
from app.monitoring.monitor import Monitor
from app.process.connections import Connections
from app.process.readiness import Readiness
from app.pruning.schedule import Pruning
from app.replicas.reading import Replicas
from app.security.tokens import AccessTokens, RefreshTokens
from app.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Services:
    """The parts that live as long as the process."""

    settings: Settings
    schema: GraphQLSchema
    database: Database
    access_tokens: AccessTokens
    refresh_tokens: RefreshTokens
    idempotency_secrets: Secrets
    documents: Documents
    rate_limits: RateLimits
    watch: Watch
    monitor: Monitor
    connections: Connections
    readiness: Readiness
    replicas: Replicas
    subscriptions: SubscriptionManager
    live_sessions: LiveSessions
    pruning: Pruning
    compiled: CompiledPath | None
    """None if every operation takes the resolver path."""
    shares: Shares
    """How much of the connection pool some operations may take."""
    introspections: Cache[Hashable, Response]
    """What operations that read nothing but the schema return."""
