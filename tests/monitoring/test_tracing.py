"""Traces from the request to its statements, as whoever gathers them receives them."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from gzip import decompress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import httpx2
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from app.settings import ROOT
from tests.databases import create_database, drop_database
from tests.graphql.subscriptions.clients import connected
from tests.servers import served

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
CATALOGUE = "query Catalogue { products { totalCount } }"
RESOLVER = "query Resolved { products { totalCount } __schema { queryType { name } } }"
SIGN_UP = """
mutation SignUp ($email: String!) {
  signUp(input: { email: $email, fullName: "Secret Name", password: "secret password" }) { __typename }
}
"""
VALUES = ("secret@example.com", "Secret Name", "secret password", "secret-token", "secretword")


class Collector:
    """Receives traces over OTLP."""

    def __init__(self, url: str, bodies: list[bytes]) -> None:
        self.url = url
        self.bodies = bodies

    @property
    def spans(self) -> list[Span]:
        exports = map(ExportTraceServiceRequest.FromString, self.bodies)
        resources = [resource for export in exports for resource in export.resource_spans]
        return [span for resource in resources for scope in resource.scope_spans for span in scope.spans]

    def span(self, name: str) -> Span:
        """Return the one span of this name."""
        (span,) = (span for span in self.spans if span.name == name)
        return span

    def below(self, parent: Span) -> list[Span]:
        """Return what was done within a span."""
        return [span for span in self.spans if span.parent_span_id == parent.span_id]

    def above(self, child: Span) -> Span:
        """Return what a span was made within."""
        (span,) = (span for span in self.spans if span.span_id == child.parent_span_id)
        return span


@pytest.fixture
def collector() -> Iterator[Collector]:
    bodies: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.path == "/v1/traces"
            bodies.append(decompress(body) if self.headers["Content-Encoding"] == "gzip" else body)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield Collector(f"http://127.0.0.1:{server.server_port}", bodies)
        server.shutdown()


@pytest.fixture
def empty_database(server_url: str) -> Iterator[str]:
    url = create_database(server_url, f"orders_test_tracing_{os.getpid()}")
    yield url
    drop_database(url)


def attributes(span: Span) -> dict[str, Any]:
    return {item.key: getattr(item.value, item.value.WhichOneof("value") or "") for item in span.attributes}


async def test_a_trace_goes_from_the_client_to_the_statements_and_holds_no_values(
    collector: Collector, empty_database: str
) -> None:
    environment: Any = {"DATABASE_URL": empty_database, "OTEL_EXPORTER_OTLP_ENDPOINT": f"{collector.url}/"}
    with served("--migrate", LOG_FORMAT="json", **environment) as (process, url):

        def post(query: str, **variables: str) -> httpx2.Response:
            headers = {**TRACEPARENT, **({"Authorization": "Bearer secret-token"} if variables else {})}
            return httpx2.post(f"{url}/graphql", json={"query": query, "variables": variables}, headers=headers)

        for _ in range(2):  # the second is refused by Postgres
            post(SIGN_UP, email="secret@example.com").raise_for_status()
        post(CATALOGUE).raise_for_status()
        words = {"query": "query Search($w: String) { products(filter: {search: $w}) { totalCount } }"}
        httpx2.get(f"{url}/graphql", params={**words, "variables": '{"w": "secretword"}'}).raise_for_status()
        streamed = {"query": "query Streamed { products { totalCount } }"}
        httpx2.post(f"{url}/graphql", json=streamed, headers={"Accept": "text/event-stream"}).raise_for_status()
        async with connected(url.removeprefix("http://")) as client:
            await client.subscribe(RESOLVER)
            await client.next()
        httpx2.get(f"{url}/readyz").raise_for_status()
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=20)

    catalogue = collector.span("query Catalogue")
    assert attributes(catalogue)["graphql.operation.name"] == "Catalogue"
    assert attributes(catalogue)["orders_api.path"] == "compiled"
    request = collector.above(catalogue)
    assert (request.name, request.trace_id.hex(), request.parent_span_id.hex()) == ("POST", TRACE, PARENT)
    (read,) = collector.below(catalogue)
    assert read.name == "SELECT"
    assert "FROM products" in attributes(read)["db.query.text"]

    resolver = collector.span("query Resolved")
    assert not resolver.parent_span_id
    assert [span.name for span in collector.below(resolver)] == ["SELECT"]

    assert [span.name for span in collector.below(collector.span("query Streamed"))] == ["SELECT"]

    signed_up, refused = (span for span in collector.spans if span.name == "mutation SignUp")
    for mutation in (signed_up, refused):
        assert "INSERT" in [span.name for span in collector.below(mutation)]
    failed = [span for span in collector.spans if span.status.code == span.status.STATUS_CODE_ERROR]
    assert [collector.above(span) for span in failed] == [refused]

    lines = [json.loads(line) for line in log.splitlines()]
    assert {line["name"]: line["trace_id"] for line in lines if line["event"] == "operation"} == {
        span.name.split()[1]: span.trace_id.hex() for span in collector.spans if len(span.name.split()) == 2
    }
    assert all(span.parent_span_id for span in collector.spans if span.kind == span.SPAN_KIND_CLIENT)
    for value in VALUES:
        assert value.encode() not in b"".join(collector.bodies)
        assert value not in log


def test_nothing_is_imported_for_what_is_off(database_url: str) -> None:
    script = """
import sys
from app.main import create_app
create_app()
off = ("opentelemetry.sdk.trace", "opentelemetry.exporter", "opentelemetry.instrumentation", "prometheus_client")
print([name for name in sys.modules if name.startswith(off)])
"""
    environment = {"APP_ENV": "production", "SECRET_KEY": "0123456789abcdef" * 2, "DATABASE_URL": database_url}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
