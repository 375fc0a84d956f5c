"""What triggers look up has an index: it is done for each row, and in no statement whose plan anybody sees."""

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.models import Base
from tests.market import Market

CHANGES = {
    "an item is fulfilled": "UPDATE order_items SET fulfilled_at = now() WHERE id = :item",
    "an order is cancelled": "UPDATE orders SET status = 'CANCELLED' WHERE id = :order",
    "an order is deleted": "UPDATE orders SET deleted_at = now() WHERE id = :order",
    "a product is renamed": "UPDATE products SET name = 'Another' WHERE id = :product",
    "a store is renamed": "UPDATE stores SET name = 'Another' WHERE id = :store",
    "a user is renamed": "UPDATE users SET full_name = 'Somebody Else' WHERE id = :user",
    "an item is inserted without a part": """
        INSERT INTO order_items (id, order_id, product_id, store_id, quantity, unit_price, currency)
        SELECT gen_random_uuid(), :order, id, store_id, 1, price, currency FROM products WHERE id = :other""",
}
SCANNED = text("SELECT coalesce(sum(seq_scan), 0) FROM pg_stat_xact_user_tables WHERE relname = ANY(:tables)")


@pytest.mark.parametrize("statement", CHANGES.values(), ids=CHANGES.keys())
async def test_no_trigger_looks_through_a_table(connection: AsyncConnection, market: Market, statement: str) -> None:
    product, other, user = await market.product(), await market.product(), await market.user()
    order = await market.order(user, product)
    item = (
        await connection.execute(text("SELECT id FROM order_items WHERE order_id = :id"), {"id": order.id})
    ).scalar()
    given = {"item": item, "order": order.id, "product": product.id, "other": other.id, "store": product.store_id}
    tables = {"tables": sorted(Base.metadata.tables)}
    await connection.execute(text("SET LOCAL enable_seqscan = off"))  # a small table would be looked through anyway
    await connection.execute(text("DISCARD PLANS"))
    before = await connection.scalar(SCANNED, tables)

    await connection.execute(text(statement), {**given, "user": user.id})

    assert await connection.scalar(SCANNED, tables) == before
