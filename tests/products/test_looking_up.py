"""Reading one product by its id, and what it shows."""

from datetime import datetime, timedelta, timezone
from decimal import Decimal
from uuid import uuid4

import pytest

from app.db.models import Store
from tests.api import Api
from tests.market import Market, gid
from tests.orders.operations import NOBODY_ID

BY_ID = "query ($id: ID!) { product(id: $id) { id } }"


async def test_anyone_reads_all_of_a_product(api: Api, market: Market, store: Store) -> None:
    moment = datetime(2026, 1, 31, 13, 0, tzinfo=timezone(timedelta(hours=1)))
    product = await market.product(
        store,
        name="Lamp",
        description="Of brass.",
        price=Decimal("12.5"),
        stock=3,
        created_at=moment,
        updated_at=moment.replace(microsecond=5),
    )
    query = """query ($id: ID!) {
      product(id: $id) {
        __typename id name description price { amount currency } stock version createdAt updatedAt deletedAt
        store { id owner { id } }
      }
    }"""

    data = await api.data(query, {"id": gid(product)})

    assert data["product"] == {
        "__typename": "Product",
        "id": f"Product_{product.id}",
        "name": "Lamp",
        "description": "Of brass.",
        "price": {"amount": "12.50", "currency": "SEK"},
        "stock": 3,
        "version": 1,
        "createdAt": "2026-01-31T12:00:00.000000+00:00",
        "updatedAt": "2026-01-31T12:00:00.000005+00:00",
        "deletedAt": None,
        "store": {"id": gid(store), "owner": {"id": f"User_{store.owner_id}"}},
    }


async def test_a_product_is_a_node(api: Api, market: Market) -> None:
    product = await market.product(name="Lamp")

    data = await api.data("query ($id: ID!) { node(id: $id) { id ... on Product { name } } }", {"id": gid(product)})

    assert data["node"] == {"id": gid(product), "name": "Lamp"}


async def test_a_product_that_is_not_there_is_null(api: Api) -> None:
    assert await api.data(BY_ID, {"id": f"Product_{uuid4()}"}) == {"product": None}


@pytest.mark.parametrize(
    "id", ["", "Product_", "Lamp", "Product_1", f"Store_{NOBODY_ID}", f"product_{NOBODY_ID}", "\0"]
)
async def test_what_is_no_id_of_a_product_is_refused(api: Api, id: str) -> None:
    error = await api.error(BY_ID, {"id": id})

    assert error["extensions"] == {"code": "BAD_USER_INPUT", "argumentPath": ["id"]}
