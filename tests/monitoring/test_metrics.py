"""What Prometheus is told of operations and of the process, and who may ask."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs
from uuid_utils.compat import uuid7

from app.events.catalog import Topic
from app.events.log import Events
from app.graphql.operations.turns import Turns
from app.graphql.relations.loaders import Loaders
from app.monitoring import metrics as module
from app.monitoring import operation_log
from app.monitoring.metrics import NAMES_KEPT, OTHER, Metrics
from app.process.connections import Connections
from app.replicas.reading import Replicas
from app.settings import Environment, Settings
from tests.api import Api
from tests.connections import LIMITS
from tests.databases import committing
from tests.graphql.subscriptions.clients import PATIENCE
from tests.market import Market, gid
from tests.monitoring.conftest import Serve
from tests.pruning import pruning_of

TOKEN = "a-token-of-the-one-who-asks"
COMPILED = "query Compiled { products { totalCount } }"
RESOLVER = "query Resolved { products { totalCount } stores { totalCount } __schema { queryType { name } } }"
CREATE = """
mutation Create($store: ID!) {
  createProduct(input: { storeId: $store, name: "Bread", price: 2 }) {
    ... on CreateProductSuccess { product { SELECTION } }
  }
}
"""

Figures = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


def read(text: str) -> Figures:
    """Return the figures by their names and labels."""
    families = text_string_to_metric_families(text)
    samples = (sample for family in families for sample in family.samples)
    return {(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples}


async def shown(metrics: Metrics) -> Figures:
    return read((await metrics.exposition()).decode())


async def figures(api: Api) -> Figures:
    response = await api.client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=")
    return read(response.text)


def figure(figures: Figures, sample: str, /, **labels: str) -> float:
    return figures[sample, frozenset(labels.items())]


def names_in(figures: Figures) -> set[str]:
    return {dict(labels)["name"] for name, labels in figures if name == "orders_api_operations_total"}


async def test_operations_are_counted_by_what_they_are_and_how_they_ended(serve: Serve) -> None:
    async with serve() as api:
        for document in (COMPILED, COMPILED, RESOLVER, "query Mine { orders { totalCount } }", "{ nothing }"):
            await api.send(document)
        found = await figures(api)

    counted = {
        tuple(dict(labels)[label] for label in ("name", "type", "path", "code")): value
        for (name, labels), value in found.items()
        if name == "orders_api_operations_total"
    }
    assert counted == {
        ("Compiled", "query", "compiled", ""): 2,
        ("Resolved", "query", "resolver", ""): 1,
        ("Mine", "query", "compiled", "UNAUTHENTICATED"): 1,
        ("", "", "resolver", "GRAPHQL_VALIDATION_FAILED"): 1,
    }
    compiled = {"name": "Compiled", "type": "query", "path": "compiled"}
    resolver = {"name": "Resolved", "type": "query", "path": "resolver"}
    assert figure(found, "orders_api_statements_total", **compiled) == 2
    assert figure(found, "orders_api_statements_total", **resolver) == 2
    assert figure(found, "orders_api_operation_seconds_count", **compiled) == 2
    assert figure(found, "orders_api_operation_seconds_sum", **compiled) > 0


async def test_clients_cannot_make_up_any_number_of_names(serve: Serve) -> None:
    async with serve() as api:
        for number in range(NAMES_KEPT + 20):
            await api.send(f"query Name{number} {{ __typename }}")
        await api.send("query Name3 { __typename }")
        found = await figures(api)

    names = names_in(found)
    assert len(names) == NAMES_KEPT - 1  # nobody was without a name
    assert OTHER in names
    kind = {"type": "query", "path": "compiled", "code": ""}
    assert figure(found, "orders_api_operations_total", name="Name3", **kind) == 2
    assert figure(found, "orders_api_operations_total", name=OTHER, **kind) == 20 + 2


@pytest.mark.parametrize(
    "request_",
    [
        {"query": "query Made { nothing }", "operationName": "Made"},
        {"query": "query Made {", "operationName": "Made"},
        {"query": f"query {'Made' * 30} {{ __typename }}"},
    ],
)
async def test_a_name_that_is_too_long_or_of_no_valid_operation_is_not_taken(
    serve: Serve, request_: Mapping[str, Any]
) -> None:
    async with serve() as api:
        await api.client.post("/graphql", json=request_)
        assert names_in(await figures(api)) == {OTHER}


async def test_the_process_its_pool_and_its_event_loop_are_told_of(serve: Serve, committed_engine: AsyncEngine) -> None:
    async with serve() as api, committed_engine.connect(), committed_engine.connect():
        found = await figures(api)

    assert figure(found, "orders_api_pool_size") == 20
    assert figure(found, "orders_api_pool_checked_out") == 2
    assert figure(found, "orders_api_pool_waiting") == 0
    assert figure(found, "orders_api_subscribers") == 0
    assert figure(found, "orders_api_events_heard") == 0
    assert figure(found, "orders_api_event_loop_lag_seconds_count") == 0
    assert figure(found, "process_resident_memory_bytes") > 0
    assert figure(found, "python_gc_collections_total", generation="2") >= 0


@pytest.mark.parametrize("document", [COMPILED, RESOLVER])
async def test_operations_that_wait_for_a_connection_are_told_of(
    serve: Serve, committed_engine: AsyncEngine, document: str
) -> None:
    async with serve() as api, AsyncExitStack() as taken:
        for _ in range(20):
            await taken.enter_async_context(committed_engine.connect())
        sent = asyncio.create_task(api.send(document))
        async with asyncio.timeout(PATIENCE):
            while figure(await figures(api), "orders_api_pool_waiting") != 1:
                pass
        await taken.aclose()
        assert (await sent).status_code == 200
        assert figure(await figures(api), "orders_api_pool_waiting") == 0


def no_replicas(engine: AsyncEngine) -> Replicas:
    return Replicas(committing(engine), Settings())


@pytest.fixture
async def metrics(committed_engine: AsyncEngine, direct_url: str) -> AsyncIterator[Metrics]:
    """The metrics of a process in which three subscriptions hear events."""
    events = Events(committing(committed_engine), make_url(direct_url))
    for _ in range(3):
        events.follow(Topic("Product", uuid7()), has_state=True)
    events.start()
    await events.heard()
    database = committing(committed_engine)
    replicas, pruning = no_replicas(committed_engine), pruning_of(committed_engine)
    yield Metrics(database, events, Connections(LIMITS), Turns(1), replicas, pruning)
    await events.stop()


async def test_the_event_loop_is_looked_at_again_and_again(metrics: Metrics, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BEAT_SECONDS", 0.001)
    async with metrics.sampling(), asyncio.timeout(PATIENCE):
        found = await shown(metrics)
        while figure(found, "orders_api_event_loop_lag_seconds_count") < 3:
            found = await shown(metrics)

    assert figure(found, "orders_api_subscribers") == 3
    assert figure(found, "orders_api_events_heard") == 1


async def test_connections_that_are_refused_or_closed_are_counted(committed_engine: AsyncEngine) -> None:
    connections = Connections(LIMITS._replace(in_all=7))
    metrics = Metrics(
        committing(committed_engine),
        Events(committing(committed_engine)),
        connections,
        Turns(1),
        no_replicas(committed_engine),
        pruning_of(committed_engine),
    )
    for total in (1, 3):
        connections.refused["client"] = connections.timed_out["request"] = total
        found = await shown(metrics)

        assert figure(found, "orders_api_connections_refused_total", limit="client") == total
        assert figure(found, "orders_api_connections_timed_out_total", what="request") == total
        assert figure(found, "orders_api_connection_limit") == 7
        assert figure(found, "orders_api_connections") == 0
        assert figure(found, "orders_api_reads_waiting") == 0


async def test_what_was_not_foreseen_counts_before_other_errors(metrics: Metrics) -> None:
    operation = operation_log.begin("id")
    operation.codes = ("BAD_USER_INPUT", "INTERNAL_SERVER_ERROR")
    metrics.count(operation, 0.1)

    kind = {"name": "", "type": "", "path": "resolver"}
    assert figure(await shown(metrics), "orders_api_operations_total", **kind, code="INTERNAL_SERVER_ERROR") == 1


@pytest.mark.parametrize(
    ("selection", "code"),
    [("store { id }", "INTERNAL_SERVER_ERROR"), ("store { products(first: 101) { totalCount } }", "BAD_USER_INPUT")],
)
async def test_a_payload_that_cannot_be_read_counts_and_is_logged_as_its_cause(
    serve: Serve, committed_market: Market, monkeypatch: pytest.MonkeyPatch, selection: str, code: str
) -> None:
    """The client learns that the mutation took effect, the operator what went wrong."""
    owner = await committed_market.user()
    variables = {"store": gid(await committed_market.store(owner))}
    if code == "INTERNAL_SERVER_ERROR":
        monkeypatch.delattr(Loaders, "reference")
    async with serve(compiled_path=False) as api:
        with capture_logs() as entries:
            error = await api.error(CREATE.replace("SELECTION", selection), variables, user=owner)
        found = await figures(api)

    assert (error["extensions"]["code"], error["extensions"]["cause"]) == ("PAYLOAD_UNREADABLE", code)
    kind = {"name": "Create", "type": "mutation", "path": "resolver"}
    assert figure(found, "orders_api_operations_total", **kind, code=code) == 1
    assert [entry["codes"] for entry in entries if entry["event"] == "operation"] == [[code]]


async def test_costs_are_told_where_they_are_known(metrics: Metrics) -> None:
    operation = operation_log.begin("id")
    metrics.count(operation, 0.1)
    operation.cost = 25
    metrics.count(operation, 0.1)
    found = await shown(metrics)

    kind = {"name": "", "type": "", "path": "resolver"}
    assert figure(found, "orders_api_operation_cost_count", **kind) == 1
    assert figure(found, "orders_api_operation_cost_sum", **kind) == 25


async def test_how_long_a_subscription_was_wanted_is_no_latency(metrics: Metrics) -> None:
    operation = operation_log.begin("id")
    operation.type = operation_log.SUBSCRIPTION
    metrics.count(operation, 3600)
    found = await shown(metrics)

    kind = {"name": "", "type": "subscription", "path": "resolver"}
    assert figure(found, "orders_api_operations_total", **kind, code="") == 1
    assert figure(found, "orders_api_operation_seconds_count", **kind) == 0


@pytest.mark.parametrize("environment", [Environment.DEVELOPMENT, Environment.PRODUCTION])
async def test_who_has_the_token_may_ask_and_nobody_else(serve: Serve, environment: Environment) -> None:
    async with serve(app_env=environment, metrics_token=SecretStr(TOKEN)) as api:
        for wrong in ("", "Bearer another", TOKEN, f"Basic {TOKEN}", "Bearer é"):
            response = await api.client.get("/metrics", headers={b"Authorization": wrong.encode()})
            assert (response.status_code, response.content) == (401, b"")
            assert response.headers["www-authenticate"] == "Bearer"
        response = await api.client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
        assert response.status_code == 200


@pytest.mark.parametrize("environment", [Environment.QA, Environment.PRODUCTION])
async def test_without_a_token_only_development_has_metrics(
    serve: Serve, committed_market: Market, environment: Environment
) -> None:
    async with serve(app_env=environment) as api:
        await api.send(COMPILED)
        assert (await api.client.get("/metrics")).status_code == 404
