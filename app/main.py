"""The application: what is served at which path, and what lives as long as the process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from multiprocessing import parent_process
from typing import Any

from fastapi import FastAPI
from sqlalchemy import make_url
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import WebSocketRoute
from starlette.types import ASGIApp

from app.db.engine import Database, open_database
from app.events.log import Events
from app.graphql.compiled.path import CompiledPath
from app.graphql.http.endpoint import GraphQLEndpoint
from app.graphql.http.websockets import WebSocketEndpoint
from app.graphql.operations.cache import Cache
from app.graphql.operations.cancellation import Watch
from app.graphql.operations.documents import Documents
from app.graphql.operations.rate_limits import RateLimits
from app.graphql.operations.services import Services
from app.graphql.operations.shares import Shares
from app.graphql.schema import schema
from app.graphql.strawberry_internals import graphql_schema
from app.graphql.subscriptions.manager import SubscriptionManager
from app.graphql.subscriptions.sessions import LiveSessions
from app.idempotency.service import Secrets
from app.monitoring.monitor import Monitor
from app.process.connections import CONNECTIONS, Connections
from app.process.files import connection_limits
from app.process.garbage import settle
from app.process.logging import configure_logging
from app.process.probes import probes
from app.process.readiness import Readiness
from app.process.supervisor import end_with_parent, on_termination
from app.pruning.schedule import Pruning
from app.replicas.reading import Replicas
from app.security import passwords
from app.security.tokens import AccessTokens, RefreshTokens
from app.settings import Settings, settings
from app.users.repository import open_sessions
from app.web import graphiql
from app.web.front_page.page import front_page

GRAPHQL_PATH = "/graphql"
# Those that pages of other origins may send and read.
REQUEST_HEADERS = (
    "Authorization",
    "Consistency-Token",
    "Idempotency-Key",
    "Traceparent",
    "Tracestate",
    "X-Explain",
    "X-Request-ID",
)
RESPONSE_HEADERS = (
    "Consistency-Token",
    "Idempotency-Replayed",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "Traceparent",
    "X-Request-ID",
)
_LAST_ANSWERS_SECONDS = 1.0
_INTROSPECTIONS_KEPT, _BYTES_OF_INTROSPECTIONS = 50, 5_000_000


@asynccontextmanager
async def running(services: Services) -> AsyncIterator[dict[str, Any]]:
    """Get ready, serve, and end what is still running. What is yielded is the state of the server's protocols."""
    if (supervisor := parent_process()) is not None and supervisor.pid is not None:
        end_with_parent(supervisor.pid)  # a worker would serve on, unseen
    await passwords.prepare()
    settle()
    services.subscriptions.events.start()
    watched = services.database.servers.watched(services.database.engine.url)
    replicas, pruning = services.replicas.running(), services.pruning.running()
    async with services.monitor.running(), services.live_sessions.running(), replicas, pruning, watched:
        drain_seconds = services.settings.shutdown_drain_seconds
        with on_termination(services.subscriptions.end, services.readiness.drain, drain_seconds):
            yield {CONNECTIONS: services.connections}
    await services.subscriptions.end()
    with suppress(TimeoutError):  # what had to be given up is answered before its connections are closed
        async with asyncio.timeout(_LAST_ANSWERS_SECONDS):
            await services.watch.drained()
    await services.subscriptions.events.stop()
    await services.rate_limits.close()
    await services.database.close()


def create_app(configuration: Settings | None = None, database: Database | None = None) -> ASGIApp:
    """Return the application; without arguments, with the settings of the process."""
    return application(create_services(configuration or settings(), database))


def create_services(configuration: Settings, database: Database | None = None) -> Services:
    """Return the services of a process with these settings."""
    configure_logging(configuration)
    if database is None:
        assert configuration.database_url is not None, "the command line provides a database"
        database = open_database(configuration.database_url, configuration)
    core_schema, secret_keys = graphql_schema(schema), configuration.secret_keys
    direct = make_url(configuration.database_direct_url) if configuration.database_direct_url else None
    events = Events(database, direct)
    pruning = Pruning(direct or database.engine.url, configuration)
    database.events_committed = events.announce
    connections = Connections(connection_limits(configuration), configuration.trusted_proxies)
    subscriptions = SubscriptionManager(events, configuration)
    replicas = Replicas(database, configuration)
    if replicas:
        events.wrote = replicas.writers.note
    return Services(
        settings=configuration,
        schema=core_schema,
        database=database,
        access_tokens=AccessTokens(secret_keys, timedelta(minutes=configuration.access_token_minutes)),
        refresh_tokens=RefreshTokens(secret_keys, timedelta(days=configuration.refresh_token_days)),
        idempotency_secrets=Secrets.of(secret_keys),
        documents=Documents(core_schema, configuration),
        rate_limits=RateLimits(configuration),
        watch=Watch(configuration.operation_timeout_seconds),
        monitor=Monitor(configuration, database, events, connections, subscriptions.turns, replicas, pruning),
        connections=connections,
        readiness=Readiness(database, replicas),
        replicas=replicas,
        subscriptions=subscriptions,
        live_sessions=LiveSessions(database, open_sessions),
        pruning=pruning,
        compiled=CompiledPath(schema, database) if configuration.compiled_path else None,
        shares=Shares(configuration.database_pool_size, configuration.database_pool_expensive),
        introspections=Cache(_INTROSPECTIONS_KEPT, _BYTES_OF_INTROSPECTIONS),
    )


def application(services: Services) -> ASGIApp:
    """Return the application that serves with these services."""
    configuration, database = services.settings, services.database
    app = FastAPI(
        title="Orders API",
        lifespan=lambda _: running(services),
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,  # the redirection fails where the query is not UTF-8
        routes=[*services.monitor.routes, WebSocketRoute(GRAPHQL_PATH, WebSocketEndpoint(schema, services))],
    )
    app.include_router(front_page(database, configuration, GRAPHQL_PATH))
    app.include_router(probes(services.readiness, services.subscriptions.events))
    app.include_router(graphiql.files(GRAPHQL_PATH))
    traced = services.monitor.traced(GraphQLEndpoint(app, GRAPHQL_PATH, services))
    if not configuration.cors_origins:
        return traced
    return CORSMiddleware(  # these pages may send a token, but no cookies
        traced,
        allow_origins=[origin.strip() for origin in configuration.cors_origins.split(",")],
        allow_methods=["GET", "POST"],
        allow_headers=REQUEST_HEADERS,
        expose_headers=RESPONSE_HEADERS,
        max_age=3600,
    )
