"""Subscriptions whose documents are named by hashes, where nothing else runs."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect

from app.settings import Trust
from tests.graphql.subscriptions.clients import PROTOCOL, Client, connected
from tests.graphql.subscriptions.conftest import Shop
from tests.graphql.subscriptions.operations import ORDER, PRODUCT
from tests.market import gid
from tests.orders.operations import PLACE, item, place
from tests.products.changes import UPDATE, update


@pytest.fixture(params=[(Trust.REQUIRE, True), (Trust.REQUIRE, False), (Trust.ALLOW, True)], ids=str)
def changed_settings(tmp_path: Path, request: pytest.FixtureRequest) -> dict[str, Any]:
    trust, compiled = request.param
    file = tmp_path / "documents.json"
    file.write_text(json.dumps({"stock": PRODUCT, "place": PLACE, "update": UPDATE}))
    return {"trusted_documents": trust, "trusted_documents_file": file, "compiled_path": compiled}


async def name(client: Client, shop: Shop, hash_: str, **payload: Any) -> None:
    variables = {"id": gid(shop.product)}
    payload = {"extensions": {"persistedQuery": {"sha256Hash": hash_}}, "variables": variables, **payload}
    await client.send({"type": "subscribe", "id": "1", "payload": payload})


@pytest.mark.parametrize("payload", [{}, {"query": None}, {"query": ""}], ids=str)
async def test_a_subscription_is_named_by_its_hash_and_goes_on(shop: Shop, payload: dict[str, Any]) -> None:
    async with connected(shop.address) as client:
        await name(client, shop, "stock", **payload)
        assert (await client.next())["productUpdated"]["product"]["stock"] == 100
        await place(shop.api, shop.customer, item(shop.product, 3))
        assert (await client.next())["productUpdated"]["product"]["stock"] == 97
        await update(shop.api, shop.owner, id=gid(shop.product), price="5")
        assert (await client.next())["productUpdated"]["product"]["price"] == {"amount": "5.00"}


async def test_what_is_not_known_does_not_begin(shop: Shop, changed_settings: dict[str, Any]) -> None:
    hash_ = sha256(ORDER.encode()).hexdigest()
    async with connected(shop.address, shop.token(shop.customer)) as client:
        await name(client, shop, hash_)
        assert await client.refusal() == "PERSISTED_QUERY_NOT_FOUND"

        await name(client, shop, hash_, query=ORDER, variables={"id": gid(shop.product)})
        required = changed_settings["trusted_documents"] is Trust.REQUIRE
        assert await client.refusal() == ("DOCUMENT_NOT_TRUSTED" if required else "BAD_USER_INPUT")


async def test_nothing_is_told_of_hashes_before_the_client_has_said_who_it_is(shop: Shop) -> None:
    async with connect(f"ws://{shop.address}/graphql", subprotocols=[PROTOCOL]) as websocket:
        client = Client(websocket)
        await name(client, shop, "unknown")
        assert await client.close_code() == 4401
