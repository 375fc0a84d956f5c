"""The application: what is served at which path, and what lives as long as the process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from multiprocessing import parent_process

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import WebSocketRoute
from starlette.types import ASGIApp

from app.db.engine import Database, open_database
from app.db.notifications import Events
from app.graphql.compiled.path import CompiledPath
from app.graphql.http.contexts import Contexts
from app.graphql.http.endpoint import GraphQLEndpoint
from app.graphql.http.view import GraphQLView
from app.graphql.operations.documents import Documents
from app.graphql.operations.executor import Executor
from app.graphql.operations.limits import Limits
from app.graphql.operations.rate_limits import RateLimits
from app.graphql.operations.trusted import TrustedDocuments
from app.graphql.schema import schema
from app.graphql.subscriptions.manager import Live
from app.graphql.subscriptions.streaming import Streams
from app.monitoring.monitor import Monitor
from app.process.logging import configure_logging
from app.process.probes import probes
from app.process.readiness import Readiness
from app.process.supervisor import end_with_parent, on_termination, settle
from app.security import passwords
from app.settings import Settings, settings
from app.web import graphiql
from app.web.front_page.page import front_page

GRAPHQL_PATH = "/graphql"
# Those that pages of other origins may send and read.
REQUEST_HEADERS = ("Authorization", "Idempotency-Key", "Traceparent", "Tracestate", "X-Explain", "X-Request-ID")
RESPONSE_HEADERS = (
    "Idempotency-Replayed",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "Traceparent",
    "X-Request-ID",
)
_LAST_ANSWERS_SECONDS = 1.0


@dataclass(frozen=True)
class Process:
    """What serves requests as long as the process lives."""

    database: Database
    events: Events
    live: Live
    monitor: Monitor
    contexts: Contexts

    @asynccontextmanager
    async def running(self, _: FastAPI) -> AsyncIterator[None]:
        """Get ready, serve, and end what is still running."""
        if (supervisor := parent_process()) is not None and supervisor.pid is not None:
            end_with_parent(supervisor.pid)  # a worker would serve on, unseen
        await passwords.prepare()
        settle()
        self.events.start()
        async with self.monitor.running():
            with on_termination(self.live.end):
                yield
        await self.live.end()
        with suppress(TimeoutError):  # what had to be given up is answered before its connections are closed
            async with asyncio.timeout(_LAST_ANSWERS_SECONDS):
                await self.contexts.watch.drained()
        await self.events.stop()
        await self.contexts.rates.close()
        await self.database.close()


def create_app(configuration: Settings | None = None, database: Database | None = None) -> ASGIApp:
    """Return the application; without arguments, as the settings of the process say."""
    configuration = configuration or settings()
    configure_logging(configuration)
    database = database or _database(configuration)
    compiled = CompiledPath(schema, database) if configuration.compiled_path else None
    events = Events(database.engine.url)
    live = Live(events, configuration)
    monitor = Monitor.of(configuration, database, live)
    contexts = Contexts(
        database, configuration, _documents(configuration), RateLimits(configuration), monitor, compiled, live
    )
    executor = Executor(schema._schema)
    view = GraphQLView(schema, Streams(executor), contexts, live, configuration)
    app = FastAPI(
        title="Orders API",
        lifespan=Process(database, events, live, monitor, contexts).running,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,  # the redirection fails where the query is not UTF-8
        routes=[*monitor.routes, WebSocketRoute(GRAPHQL_PATH, view)],
    )
    app.include_router(front_page(database, configuration, GRAPHQL_PATH))
    app.include_router(probes(Readiness(database.engine.url)))
    app.include_router(graphiql.files(GRAPHQL_PATH))
    app.state.live = live
    endpoint = GraphQLEndpoint(app, GRAPHQL_PATH, executor, contexts, view, configuration, compiled)
    traced = monitor.traced(endpoint)
    return _shared(traced, configuration.cors_origins) if configuration.cors_origins else traced


def _database(configuration: Settings) -> Database:
    assert configuration.database_url is not None, "the command line provides a database"
    return open_database(configuration.database_url, configuration)


def _documents(configuration: Settings) -> Documents:
    trusted = TrustedDocuments.of(configuration.trusted_documents, configuration.trusted_documents_file)
    limits = Limits.of(configuration)
    return Documents(schema._schema, limits, trusted, introspection=configuration.introspection)


def _shared(app: ASGIApp, origins: str) -> ASGIApp:
    """Let pages of these origins call the application, with a token but without cookies."""
    return CORSMiddleware(
        app,
        allow_origins=[origin.strip() for origin in origins.split(",")],
        allow_methods=["GET", "POST"],
        allow_headers=[*REQUEST_HEADERS],
        expose_headers=[*RESPONSE_HEADERS],
        max_age=3600,
    )
