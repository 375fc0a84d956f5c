"""To read or compile a document keeps everyone waiting, so it is done one by one, of clients by turns."""

import asyncio
import json
from typing import Any

import pytest
from sqlalchemy import QueuePool
from websockets.asyncio.client import connect

from app.clients import Client
from app.graphql.compiled.compilation import BoundOperation
from app.graphql.compiled.compiler import compile_plan
from app.graphql.operations.documents import Document, Documents, GraphQLRequest
from tests.graphql.subscriptions.clients import PROTOCOL, until
from tests.graphql.subscriptions.conftest import Shop
from tests.market import gid
from tests.paths import Paths

HERE, ELSEWHERE = Client.of(None, "192.0.2.1"), Client.of(None, "192.0.2.2")


@pytest.fixture
def changed_settings() -> dict[str, Any]:
    return {"compiled_path": True}


def asked(text: str) -> GraphQLRequest:
    return GraphQLRequest(text, None, None)


class Reads:
    """What was read or compiled, each in which turn of the event loop."""

    def __init__(self) -> None:
        self.turn = 0
        self.turns: dict[str, int] = {}

    async def watch(self) -> None:
        """Count the turns of the event loop."""
        while True:
            self.turn += 1
            await asyncio.sleep(0)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    reads, read = Reads(), Documents._read

    def noted(self: Documents, text: str) -> Document:
        reads.turns[text] = reads.turn
        return read(self, text)

    monkeypatch.setattr(Documents, "_read", noted)
    return reads


async def test_others_are_answered_between_two_documents_and_clients_alternate(reads: Reads, shop: Shop) -> None:
    documents = Documents(shop.services.schema, shop.services.settings)
    counting = asyncio.create_task(reads.watch())
    mine = [documents.read_in_turn(asked(f"{{ a{number}: __typename }}"), HERE) for number in range(5)]
    await asyncio.gather(*mine, documents.read_in_turn(asked("{ theirs: __typename }"), ELSEWHERE))
    counting.cancel()

    assert len({*reads.turns.values()}) == len(reads.turns) == 6
    assert "{ theirs: __typename }" in [*reads.turns][:3]
    await documents.read_in_turn(asked("{ a4: __typename }"), HERE)
    assert len(reads.turns) == 6


async def test_nothing_is_read_for_a_client_that_has_gone(reads: Reads, shop: Shop) -> None:
    documents = shop.services.documents
    body = b'{"query": "{ gone: __typename }"}'
    head = b"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    async with documents.turn(ELSEWHERE):
        _, writer = await asyncio.open_connection(*shop.address.split(":"))
        writer.write(head % len(body) + body)
        await until(lambda: len(documents._turns) == 1)
        writer.close()
        await until(lambda: len(documents._turns) == 0)
    await documents.read_in_turn(asked("{ later: __typename }"), HERE)
    assert [*reads.turns] == ["{ later: __typename }"]


async def test_a_new_document_of_a_user_waits_among_those_of_users(reads: Reads, shop: Shop) -> None:
    """Or many addresses without a login could keep it waiting."""
    documents = shop.services.documents
    async with documents.turn(ELSEWHERE):
        anonymous = [
            asyncio.create_task(
                documents.read_in_turn(asked(f"{{ a{n}: __typename }}"), Client.of(None, f"192.0.3.{n}"))
            )
            for n in range(20)
        ]
        mine = asyncio.create_task(shop.api.data("{ mine: viewer { id } }", user=shop.customer))
        await until(lambda: len(documents._turns) == 21)
    await asyncio.gather(mine, *anonymous)
    assert "{ mine: viewer { id } }" in [*reads.turns][:2]


async def test_so_are_those_that_arrive_together_on_a_websocket(reads: Reads, shop: Shop) -> None:
    counting = asyncio.create_task(reads.watch())
    async with connect(f"ws://{shop.address}/graphql", subprotocols=[PROTOCOL]) as websocket:
        await websocket.send(json.dumps({"type": "connection_init"}))
        await websocket.recv()
        for number in range(20):
            payload = {"query": f"{{ w{number}: __typename }}"}
            await websocket.send(json.dumps({"type": "subscribe", "id": str(number), "payload": payload}))
        ended = 0
        while ended < 20:
            ended += json.loads(await websocket.recv())["type"] == "complete"
    counting.cancel()

    assert len({*reads.turns.values()}) == len(reads.turns) == 20


async def test_so_are_those_that_are_compiled_for_other_variables(
    reads: Reads, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    def noted(schema: Any, operation: BoundOperation, viewer: Any) -> Any:
        reads.turns[str(operation.variables.coerced)] = reads.turn
        return compile_plan(schema, operation, viewer)

    query = "query ($a: Boolean!, $b: Boolean!) { a: __typename @skip(if: $a) b: __typename @skip(if: $b) }"
    await paths.compiled.data(query, {"a": True, "b": True})
    reads.turns.clear()
    monkeypatch.setattr("app.graphql.compiled.path.compile_plan", noted)
    counting = asyncio.create_task(reads.watch())
    others = [{"a": False, "b": False}, {"a": True, "b": False}, {"a": False, "b": True}]
    await asyncio.gather(*(paths.compiled.data(query, variables) for variables in others))
    counting.cancel()

    assert len({*reads.turns.values()}) == len(reads.turns) == 3


ADJUST = "adjustStock(input: { productId: $id, delta: 1 }) { ... on AdjustStockSuccess { product { store { name } } } }"
UPDATE = """updateProducts(input: { products: [{ id: $id, price: 7 }] }) {
  ... on UpdateProductsSuccess { products { store { name } } }
}"""


@pytest.mark.parametrize("fields", [ADJUST, f"a: {ADJUST} b: {ADJUST}", UPDATE, f"__typename {UPDATE}"])
async def test_what_a_mutation_returns_is_compiled_before_it_begins(shop: Shop, fields: str) -> None:
    """Or it would hold a connection, and rows, while it waits for its turn."""
    documents, pool = shop.services.documents, shop.services.database.engine.pool
    assert isinstance(pool, QueuePool)
    document, variables = f"mutation ($id: ID!) {{ {fields} }}", {"id": gid(shop.product)}
    await documents.read_in_turn(GraphQLRequest(document, variables, None), HERE)
    async with documents.turn(ELSEWHERE):
        before = pool.checkedout()
        changing = asyncio.create_task(shop.api.data(document, variables, user=shop.owner))
        await until(lambda: len(documents._turns) == 1)
        assert pool.checkedout() == before
    await changing


async def test_a_large_document_is_counted_in_turn_for_other_variables(shop: Shop) -> None:
    """1,558 bytes took 30 ms each time, and a hundred together kept everyone waiting for three seconds."""
    documents = Documents(shop.services.schema, shop.services.settings)
    inner = " ".join(f"a{number}: products(first: $n) {{ nodes {{ id }} }}" for number in range(20))
    stores = " ".join(f"s{number}: store {{ ...F }}" for number in range(9))
    large = f"query ($n: Int!) {{ products(first: $n) {{ nodes {{ {stores} }} }} }} fragment F on Store {{ {inner} }}"
    small = "query ($n: Int!) { products(first: $n) { nodes { id } } }"
    for text in (large, small):
        first, other = (GraphQLRequest(text, {"n": number}, None) for number in (1, 2))
        assert documents.known(first) is None
        await documents.read_in_turn(first, HERE)
        assert documents.known(first) is not None
        assert (documents.known(other) is not None) == (text == small)
        await documents.read_in_turn(other, HERE)
        assert documents.known(other) is not None
