"""Whatever is sent over a websocket, or a connection to the port: the process answers the next client."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Any, cast

import httpx2
import orjson
import pytest
from hypothesis import given
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import QueuePool
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from app.graphql.subscriptions.manager import SubscriptionManager
from app.main import application, create_services
from app.settings import Settings
from tests.databases import committing
from tests.fuzz.conftest import Fuzzed, Quiet
from tests.fuzz.contract import Caller, fields
from tests.fuzz.mutations import VALUES, mutated, mutated_bytes, mutated_document, mutated_json
from tests.fuzz.oracle import judge_errors, judge_result
from tests.fuzz.profile import RANDOMS, tries
from tests.graphql.compiled.operations import Generator
from tests.graphql.subscriptions.clients import PATIENCE, PROTOCOL, connected, serving, until
from tests.graphql.subscriptions.operations import PRODUCT

# Of resolvers that were about to begin when the client had gone: graphql-core holds them in coroutines of its own.
pytestmark = pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")

# Of the protocol, and of websockets; not 1011, by which the server says that it is at fault.
CLOSE_CODES = {1000, 1002, 1003, 1007, 1009, 4400, 4401, 4403, 4406, 4408, 4409, 4429}
INIT = '{"type":"connection_init"}'
MESSAGES = [
    *(
        INIT,
        '{"type":"ping"}',
        '{"type":"pong","payload":{}}',
        '{"type":"complete","id":"1"}',
        '{"type":"connection_ack"}',
    ),
    *('{"type":"connection_init","payload":{"Authorization":"Bearer x"}}', '{"type":"complete","id":"2"}'),
    '{"type":"connection_init","payload":{"Authorization":"Bearer \\u6f22\\ud83d\\ude00\\u0000\\n"}}',
    '{"type":"connection_init","payload":{"authorization":["Bearer"],"AUTHORIZATION":{},"":null}}',
    '{"type":"next","id":"1","payload":{"data":{}}}',
    '{"type":"error","id":"1","payload":[]}',
    '{"type":"subscribe","id":"1","payload":{"query":"{ __typename }"}}',
    '{"type":"subscribe","id":"","payload":{"query":"","extensions":{"persistedQuery":{"sha256Hash":"0"}}}}',
]


@dataclass(frozen=True)
class Served:
    """Where the application is served, and its subscriptions."""

    address: str
    live: SubscriptionManager

    async def answers(self) -> None:
        """Fail unless another client is answered."""
        async with connected(self.address) as client:
            await client.subscribe("{ __typename }")
            assert await client.next() == {"__typename": "Query"}


@pytest.fixture
async def served(pooled: AsyncEngine, fuzzed: Fuzzed, settings: Settings) -> AsyncIterator[Served]:
    services = create_services(
        settings.model_copy(update={"compiled_path": True, "operations_per_websocket": 5}), committing(pooled)
    )
    async with serving(application(services), ws_max_size=settings.body_limit_kb * 1024) as address:
        live = services.subscriptions
        await live.events.heard()
        yield Served(address, live)


def subscribe(fuzzed: Fuzzed, random: Random) -> str:
    """Return a message that begins an operation, of which most do not change anything."""
    if random.random() < 0.6:
        field = random.choice(fields("Subscription", "Query"))
        query, variables = Caller(random, fuzzed.samples).call(field)
        payload = {"query": query, "variables": json.loads(orjson.dumps(variables))}
    else:
        query, variables, name = Generator(random.randrange, fuzzed.samples).operation()
        payload = {"query": query, "variables": variables, "operationName": name}
    if random.random() < 0.3:
        payload["query"] = mutated_document(random, query)
    return json.dumps({"type": "subscribe", "id": random.choice(["1", "2", "3", ""]), "payload": payload})


def conversation(fuzzed: Fuzzed, random: Random) -> list[str | bytes]:
    """Return messages, of which some are none."""
    messages: list[str | bytes] = [INIT] if random.random() < 0.9 else []
    for _ in range(random.randint(1, 6)):
        message = subscribe(fuzzed, random) if random.random() < 0.7 else random.choice(MESSAGES)
        choice = random.random()
        if choice < 0.15:
            message = mutated_json(random, message)
        elif choice < 0.2:
            message = random.choice([value for value in VALUES if "\\ud" not in value])
        elif choice < 0.22:
            message = message + " " * 300_000
        messages.append(message.encode() if random.random() < 0.05 else message)
    return messages


async def talk(served: Served, messages: list[str | bytes]) -> None:
    """Say all of it, and judge what is said back until the server has heard it or hangs up."""
    async with connect(f"ws://{served.address}/graphql", subprotocols=[PROTOCOL], max_size=None) as websocket:
        with suppress(ConnectionClosed):
            for message in messages:
                await websocket.send(message)
            await websocket.send('{"type":"ping","payload":{"last":true}}')
            pings = 1 + sum('"ping"' in str(message) for message in messages)
            async with asyncio.timeout(PATIENCE):
                while pings:
                    reply = json.loads(await websocket.recv())
                    pings -= reply["type"] == "pong"
                    judge_message(reply, messages)
        if websocket.close_code is not None:
            assert websocket.close_code in CLOSE_CODES, (websocket.close_code, websocket.close_reason, messages)


def judge_message(message: Any, asked: object) -> None:
    """Fail unless a message is one of the protocol."""
    match message:
        case {"type": "connection_ack" | "pong"} | {"type": "complete", "id": str()}:
            pass
        case {"type": "next", "id": str(), "payload": payload}:
            judge_result(payload, asked)
        case {"type": "error", "id": str(), "payload": errors}:
            judge_errors(errors, asked)
        case _:
            raise AssertionError((message, asked))


def subscription(query: str, variables: str = "{}") -> str:
    return f'{{"type":"subscribe","id":"1","payload":{{"query":{json.dumps(query)},"variables":{variables}}}}}'


REGRESSIONS = {
    "a token that no header could hold": [MESSAGES[7], subscription("{ viewer { id } }")],
    "a chain of fragments": [
        INIT,
        subscription(
            "{ ...F0 } "
            + " ".join(f"fragment F{index} on Query {{ ...F{index + 1} }}" for index in range(230))
            + " fragment F230 on Query { __typename }"
        ),
    ],
    "deep variables": [INIT, subscription(PRODUCT, '{"id":"Product_x","x":' + "[" * 900 + "]" * 900 + "}")],
}


@pytest.mark.parametrize("messages", REGRESSIONS.values(), ids=REGRESSIONS.keys())
async def test_what_was_once_too_much(served: Served, quiet: Quiet, messages: list[str | bytes]) -> None:
    async with connect(f"ws://{served.address}/graphql", subprotocols=[PROTOCOL]) as websocket:
        for message in messages:
            await websocket.send(message)
        replies: list[Any] = []
        async with asyncio.timeout(PATIENCE):
            while not replies or replies[-1]["type"] not in ("complete", "error"):
                replies.append(json.loads(await websocket.recv()))
                judge_message(replies[-1], messages)
    quiet(messages)
    (errors,) = [reply["payload"] for reply in replies if reply["type"] in ("next", "error")]
    errors = errors["errors"] if isinstance(errors, dict) and "errors" in errors else errors
    assert errors


@tries(150)
@given(random=RANDOMS)
async def test_any_conversation_is_borne(served: Served, fuzzed: Fuzzed, quiet: Quiet, random: Random) -> None:
    messages = conversation(fuzzed, random)
    await talk(served, messages)
    quiet(str(messages)[:5_000])


async def test_nothing_is_left_of_them(served: Served, fuzzed: Fuzzed, quiet: Quiet, pooled: AsyncEngine) -> None:
    tasks = len(asyncio.all_tasks())
    for seed in range(10):
        conversations = [conversation(fuzzed, Random(seed * 10 + number)) for number in range(10)]
        await asyncio.gather(*(talk(served, messages) for messages in conversations))
    await until(lambda: len(served.live.events) == 0)
    await until(lambda: len(asyncio.all_tasks()) <= tasks)
    await until(lambda: cast(QueuePool, pooled.pool).checkedout() == 0)
    await served.answers()


HANDSHAKE = (
    b"GET /graphql HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
)
POST = (
    b"POST /graphql HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nContent-Length: 26\r\n\r\n"
    b'{"query":"{ __typename }"}'
)
CHUNKED = (
    b"POST /graphql HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    b'1a\r\n{"query":"{ __typename }"}\r\n0\r\n\r\n'
)


def frame(random: Random, payload: bytes) -> bytes:
    """Return a websocket's frame, masked as those of clients are."""
    first = random.choice([0x81, 0x81, 0x01, 0x80, 0x82, 0x88, 0x89, 0x8A, 0xF1, 0x83, 0xFF])
    length = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + len(payload).to_bytes(2, "big")
    if random.random() < 0.05:
        length = b"\xff" + random.choice([b"\x00" * 4 + b"\x10" + b"\x00" * 3, b"\xff" * 8])
    return bytes([first]) + length + b"\x00" * 4 + payload


def wire(random: Random) -> bytes:
    """Return what somebody may write to the port."""
    text = random.choice([POST, CHUNKED, POST * 3, HANDSHAKE, POST.replace(b"POST", b"GET")])
    if text is HANDSHAKE:
        frames = [
            frame(random, mutated_json(random, message).encode()[:60_000]) for message in random.sample(MESSAGES, 3)
        ]
        return text + (mutated_bytes(random, b"".join(frames)) if random.random() < 0.5 else b"".join(frames))
    lines = text.split(b"\r\n")
    others = [
        b"",
        b"Content-Length: 5",
        b"Content-Length: " + b"9" * 5_000,
        b"Transfer-Encoding: chunked",
        b"\x00",
        b"x" * 70_000,
    ]
    return mutated_bytes(random, text) if random.random() < 0.5 else b"\r\n".join(mutated(random, lines, others))


@tries(100)
@given(random=RANDOMS)
async def test_any_bytes_are_borne(served: Served, quiet: Quiet, random: Random) -> None:
    """Those of a client that is gone after some of them."""
    host, port = served.address.split(":")
    sent = wire(random)
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(sent)
        await writer.drain()
        if random.random() < 0.7:
            writer.write_eof()
            async with asyncio.timeout(PATIENCE):
                await reader.read()
    except ConnectionError:
        pass
    finally:
        writer.transport.abort()
        with suppress(ConnectionError):
            await writer.wait_closed()
    quiet(sent[:5_000])
    await served.answers()


async def test_streams_that_are_broken_off_leave_nothing(served: Served, fuzzed: Fuzzed, quiet: Quiet) -> None:
    ids = [id for id in fuzzed.population.ids["Product"] if not id.endswith("0" * 12)]
    async with httpx2.AsyncClient(base_url=f"http://{served.address}", timeout=PATIENCE) as client:

        async def follow(seed: int) -> None:
            random = Random(seed)
            body = {"query": PRODUCT, "variables": {"id": random.choice(ids)}}
            headers = {"Accept": "text/event-stream"}
            async with client.stream("POST", "/graphql", json=body, headers=headers) as response:
                lines = response.aiter_lines()
                for _ in range(random.randrange(4)):  # of the first event
                    await anext(lines)

        for seed in range(0, 60, 10):
            async with asyncio.timeout(PATIENCE):
                await asyncio.gather(*(follow(seed + number) for number in range(10)))
    await until(lambda: len(served.live.events) == 0)
    quiet("streams")
    await served.answers()
