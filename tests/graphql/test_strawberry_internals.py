"""What we use of Strawberry beyond its public API is still there: after an upgrade, a failure says what has moved."""

from typing import Any

import strawberry
from graphql import GraphQLSchema, execute, parse
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import BaseGraphQLTransportWSHandler

from app.graphql.http.event_stream import _TRANSPORT
from app.graphql.strawberry_internals import ExecutionContext, definition_of, graphql_schema, is_awaitable


@strawberry.type
class Query:
    plain: int = 1

    @strawberry.field(metadata={"key": "value"})
    async def resolved(self, info: strawberry.Info[str, None], number: int = 2) -> str:
        return f"{info.context} {number} {info.operation.operation.value}"


SCHEMA = strawberry.Schema(Query)


def test_graphql_cores_schema_is_found() -> None:
    assert isinstance(graphql_schema(SCHEMA), GraphQLSchema)


def test_a_field_has_its_definition() -> None:
    query = graphql_schema(SCHEMA).query_type
    assert query is not None
    plain, resolved = (definition_of(query.fields[name]) for name in ("plain", "resolved"))
    assert (plain.is_basic_field, resolved.is_basic_field) == (True, False)
    assert (plain.python_name, dict(resolved.metadata)) == ("plain", {"key": "value"})
    assert [argument.python_name for argument in resolved.arguments] == ["number"]


async def test_graphql_core_executes_in_strawberrys_context() -> None:
    executed: Any = execute(
        graphql_schema(SCHEMA),
        parse("{ resolved(number: 3) }"),
        root_value=Query(),
        context_value="context",
        executor_class=ExecutionContext,
        is_awaitable=is_awaitable,  # type: ignore[arg-type]  # graphql-core wants a type guard
        operation_extensions=None,
    )

    assert is_awaitable(executed)
    assert (await executed).data == {"resolved": "context 3 query"}


def test_the_executor_has_the_methods_that_read_payloads() -> None:
    for name in ("complete_object_value", "complete_list_value", "collect_subfields"):
        assert callable(getattr(ExecutionContext, name)), name


def test_the_handler_of_websockets_has_what_we_override() -> None:
    methods = ("handle_message", "handle_connection_init", "handle_subscribe", "run_operation", "forget_id")
    for name in (*methods, "cleanup_operation", "handle_invalid_message", "send_message"):
        assert callable(getattr(BaseGraphQLTransportWSHandler, name)), name


def test_events_are_written_as_the_protocol_has_them() -> None:
    assert _TRANSPORT.encode_event("next", "{}") == "event: next\r\ndata: {}\r\n\r\n"
    assert _TRANSPORT.encode_complete() == "event: complete\r\ndata: \r\n\r\n"
    assert _TRANSPORT.headers["Content-Type"] == "text/event-stream"
