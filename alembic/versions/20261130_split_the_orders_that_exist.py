"""Split the orders that exist.

Each step commits by itself, and can be repeated. What it locks, it locks for a fraction of a second.

Revision ID: 0006
Revises: 0005
"""

from collections.abc import Iterator, Sequence

import sqlalchemy as sa
from alembic import context, op

revision: str = "0006"
down_revision: str | Sequence[str] | None = "0005"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

FIRST = "00000000-0000-0000-0000-000000000000"
BATCH = 2_000
# Splits the orders of a batch, whose keys are greater than `:after`, and returns the last of them.
SPLIT = """
    WITH batch AS (
        SELECT id FROM orders WHERE id > CAST(:after AS uuid) AND customer_name IS NULL ORDER BY id LIMIT :size
        FOR NO KEY UPDATE
    ), parts AS (
        INSERT INTO store_orders (id, order_id, store_id, placed_at, updated_at, total, currency, status, deleted_at)
        SELECT key_at(orders.date), orders.id, store_id, orders.date, orders.updated_at,
            sum(unit_price * quantity), min(currency),
            CASE WHEN bool_and(fulfilled_at IS NOT NULL) THEN 'FULFILLED'
                WHEN orders.status = 'CANCELLED' THEN 'CANCELLED' ELSE 'OPEN' END,
            orders.deleted_at
        FROM batch JOIN orders USING (id) JOIN order_items ON order_id = orders.id
        GROUP BY orders.id, store_id
        RETURNING id, order_id, store_id
    ), items AS (
        UPDATE order_items SET store_order_id = parts.id, product_name = products.name
        FROM parts, products
        WHERE products.id = product_id
        AND parts.order_id = order_items.order_id AND parts.store_id = order_items.store_id
    ), named AS (
        UPDATE orders SET number = order_number(), customer_name = users.full_name
        FROM batch, users WHERE orders.id = batch.id AND users.id = customer_id
    )
    SELECT id FROM batch ORDER BY id DESC LIMIT 1
"""
# What was cancelled, deleted or fulfilled while its batch was split.
FOLLOW = (
    """
    UPDATE store_orders SET status = 'CANCELLED', updated_at = orders.updated_at
    FROM orders WHERE orders.id = order_id AND orders.status = 'CANCELLED' AND store_orders.status = 'OPEN'
    """,
    """
    UPDATE store_orders SET status = 'FULFILLED', updated_at = fulfilled.at
    FROM (
        SELECT store_order_id, max(fulfilled_at) AS at FROM order_items
        GROUP BY store_order_id HAVING bool_and(fulfilled_at IS NOT NULL)
    ) AS fulfilled
    WHERE fulfilled.store_order_id = id AND status = 'OPEN'
    """,
    """
    UPDATE store_orders SET deleted_at = orders.deleted_at
    FROM orders WHERE orders.id = order_id AND store_orders.deleted_at IS DISTINCT FROM orders.deleted_at
    """,
)
NOT_NULL = {"orders": ("number", "customer_name"), "order_items": ("store_order_id", "product_name")}
TEXTS = {
    "orders": ("number", "customer_name", "note", "recipient", "city", "postcode", "country", "phone"),
    "order_items": ("product_name",),
}
# What parts make needless: an item's part refers to its order and store, and is found by the index on order and product.
DROPPED_KEYS = ("fk_order_items_order_id", "fk_order_items_store_id")
DROPPED_INDEXES = {
    "ix_order_items_store_id_order_id": ["store_id", "order_id"],
    "ix_order_items_order_id_id": ["order_id", "id"],
    "ix_order_items_product_id": ["product_id"],
}


def constraints() -> Iterator[tuple[str, str, str]]:
    """Yield the table of each constraint, its name, and what it says."""
    for table, columns in TEXTS.items():
        for column in columns:
            yield table, f"ck_{table}_{column}_without_del", f"CHECK (strpos({column}, chr(127)) = 0)"
    lines = "CHECK (strpos(array_to_string(address_lines, ''), chr(127)) = 0)"
    yield "orders", "ck_orders_address_lines_without_del", lines
    yield "order_items", "fk_order_items_store_order_id", "FOREIGN KEY (store_order_id) REFERENCES store_orders"
    for table, columns in NOT_NULL.items():
        for column in columns:
            yield table, f"ck_{table}_{column}_given", f"CHECK ({column} IS NOT NULL)"


def split() -> None:
    """Split all orders, batch by batch; written to a file, in one."""
    if context.is_offline_mode():
        op.execute(SPLIT.replace(":after", f"'{FIRST}'").replace("LIMIT :size", ""))
        return
    last = FIRST
    while last is not None:
        last = op.get_bind().scalar(sa.text(SPLIT), {"after": last, "size": BATCH})


def upgrade() -> None:
    with op.get_context().autocommit_block():
        split()
        for statement in FOLLOW:
            op.execute(statement)
        op.execute("DROP INDEX IF EXISTS uq_orders_number")  # an attempt that failed leaves an invalid one
        op.execute("CREATE UNIQUE INDEX CONCURRENTLY uq_orders_number ON orders (number)")
        for table, name, rule in constraints():
            op.execute(f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name}")
            op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} {rule} NOT VALID")
            op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}")
        # With the valid constraint, Postgres need not read the table to see that nothing is null.
        for table, columns in NOT_NULL.items():
            for column in columns:
                op.execute(f"ALTER TABLE {table} ALTER COLUMN {column} SET NOT NULL")
                op.execute(f"ALTER TABLE {table} DROP CONSTRAINT ck_{table}_{column}_given")
        for name in DROPPED_KEYS:
            op.execute(f"ALTER TABLE order_items DROP CONSTRAINT IF EXISTS {name}")
        for name in DROPPED_INDEXES:
            op.execute(f"DROP INDEX IF EXISTS {name}")


def downgrade() -> None:
    for name, indexed in DROPPED_INDEXES.items():
        op.create_index(name, "order_items", indexed)
    op.create_foreign_key("fk_order_items_order_id", "order_items", "orders", ["order_id"], ["id"])
    op.create_foreign_key("fk_order_items_store_id", "order_items", "stores", ["store_id"], ["id"])
    for table, columns in NOT_NULL.items():
        for column in columns:
            op.execute(f"ALTER TABLE {table} ALTER COLUMN {column} DROP NOT NULL")
    for table, name, _ in constraints():
        op.execute(f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name}")
    op.execute("DROP INDEX uq_orders_number")
