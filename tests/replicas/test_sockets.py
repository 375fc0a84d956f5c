"""A WebSocket remembers what was written over it, and takes tokens of what was written elsewhere."""

from asyncio import to_thread
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from tests.graphql.subscriptions.clients import Client, connected
from tests.replicas.conftest import STOCK, Deployment, Process
from tests.users.operations import SIGN_UP


async def answered(client: Client, query: str, **more: Any) -> Any:
    """Return the payload of the one answer to an operation."""
    id_ = uuid4().hex
    await client.send({"type": "subscribe", "id": id_, "payload": {"query": query, **more}})
    message, completed = await client.receive(), await client.receive()
    assert (message["type"], completed["type"]) == ("next", "complete"), message
    return message["payload"]


async def stock(client: Client, **more: Any) -> int:
    return int((await answered(client, STOCK, **more))["data"]["products"]["nodes"][0]["stock"])


@asynccontextmanager
async def paused(deployment: Deployment) -> AsyncIterator[None]:
    pause = deployment.paused()
    await to_thread(pause.__enter__)
    try:
        yield
    finally:
        await to_thread(pause.__exit__, None, None, None)


def place_of(process: Process) -> str:
    return process.url.removeprefix("http://")


async def test_a_query_sees_what_was_written_over_the_same_socket(deployment: Deployment) -> None:
    account = {"email": f"{uuid4().hex}@example.com", "password": "correct horse battery", "fullName": "Ada"}
    with deployment.process() as process:
        place = place_of(process)
        async with connected(place) as client, connected(place) as other, paused(deployment):
            written = await answered(client, SIGN_UP, variables={"input": account})
            assert "consistencyToken" in written["extensions"]
            await stock(client)
            assert process.fallbacks("not_replayed") == 1
            await stock(other)
            assert process.fallbacks("not_replayed") == 1


async def test_a_token_may_be_in_the_extensions_of_the_request(deployment: Deployment) -> None:
    with deployment.process() as process:
        async with connected(place_of(process)) as client, paused(deployment):
            before = await stock(client)
            token = process.place()
            assert await stock(client) == before
            assert await stock(client, extensions={"consistencyToken": token}) == before - 1
            assert await stock(client) == before - 1, "the socket remembers it"


async def test_what_is_no_token_is_refused_and_the_socket_stays_open(deployment: Deployment) -> None:
    with deployment.process() as process:
        async with connected(place_of(process)) as client:
            payload = {"query": STOCK, "extensions": {"consistencyToken": "what"}}
            await client.send({"type": "subscribe", "id": "1", "payload": payload})
            assert await client.refusal() == "BAD_USER_INPUT"
            await stock(client)
