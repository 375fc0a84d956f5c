"""Responses as server-sent events, in the distinct connections mode of GraphQL over SSE."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from starlette.responses import StreamingResponse
from strawberry.http.streaming import SSETransport, merge_stream_with_heartbeat

from app.errors import Restarting
from app.graphql.operations.responses import Response

_TRANSPORT = SSETransport()


def event_stream(responses: AsyncGenerator[Response]) -> StreamingResponse:
    """Return a stream of events. It breaks off where the process ends, so that the client connects again."""

    async def events() -> AsyncGenerator[str]:
        try:
            async with aclosing(responses):
                async for response in responses:
                    yield _TRANSPORT.encode_event("next", response.body.decode())
        except Restarting:
            return
        yield _TRANSPORT.encode_complete()

    with_heartbeat = merge_stream_with_heartbeat(
        events,
        lambda: _TRANSPORT.encode_comment("ping"),
        _TRANSPORT.heartbeat_interval,
        send_initial_heartbeat=_TRANSPORT.send_initial_heartbeat,
    )
    return StreamingResponse(with_heartbeat(), headers=_TRANSPORT.headers)
