"""Filter within indexes.

The indexes of lists also hold what the lists are filtered by, so that a filter reads no other rows. Each step commits by
itself, and can be repeated. 2.0.0 reads the new indexes as it read those that they replace.

Revision ID: 0014
Revises: 0013
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import context, op

revision: str = "0014"
down_revision: str | Sequence[str] | None = "0013"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

FUNCTION = """
CREATE OR REPLACE FUNCTION set_in_stock() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF TG_OP = 'INSERT' THEN
        NEW.in_stock := NEW.stock IS NULL OR NEW.stock > 0;
    ELSE
        UPDATE products SET in_stock = stock IS NULL OR stock > 0 WHERE id = NEW.id;
    END IF;
    RETURN NEW;
END $$
"""
# After updates, as a trigger before them would have Postgres compute the generated columns at each sale.
TRIGGERS = {"set_in_stock": "BEFORE INSERT", "set_in_stock_again": "AFTER UPDATE OF stock"}
IS_WRONG = "NEW.in_stock IS DISTINCT FROM (NEW.stock IS NULL OR NEW.stock > 0)"
BATCH = 1_000
# Rows are locked in the order of their keys, as by orders.
FILL = """
WITH batch AS (
    SELECT id FROM products WHERE in_stock IS DISTINCT FROM (stock IS NULL OR stock > 0) ORDER BY id LIMIT :size
    FOR NO KEY UPDATE
)
UPDATE products SET in_stock = stock IS NULL OR stock > 0 FROM batch WHERE products.id = batch.id
"""
NEW = {
    "ix_products_by_id": "products (least(id), currency, least(price), in_stock)",
    "ix_products_by_name": "products (folded_name, id, currency, least(price), in_stock)",
    "ix_products_by_price": "products (price, id, currency, least(price), in_stock)",
    "ix_products_by_age": "products (created_at, id, currency, least(price), in_stock)",
    "ix_products_of_store_by_id": "products (store_id, least(id), currency, least(price), in_stock)",
    "ix_products_of_store_by_name": "products (store_id, folded_name, id, currency, least(price), in_stock)",
    "ix_products_of_store_by_price": "products (store_id, price, id, currency, least(price), in_stock)",
    "ix_products_of_store_by_age": "products (store_id, created_at, id, currency, least(price), in_stock)",
    "ix_store_orders_of_store": "store_orders (store_id, placed_at, id, status)",
}
OLD = {
    "ix_products_folded_name_id": "products (folded_name, id)",
    "ix_products_price_id": "products (price, id)",
    "ix_products_created_at_id": "products (created_at, id)",
    "ix_products_store_id_folded_name_id": "products (store_id, folded_name, id)",
    "ix_products_store_id_price_id": "products (store_id, price, id)",
    "ix_products_store_id_created_at_id": "products (store_id, created_at, id)",
    "ix_store_orders_store_id_placed_at_id": "store_orders (store_id, placed_at, id)",
}


def fill() -> None:
    """Correct what is sold out, batch by batch; written to a file, in one."""
    if context.is_offline_mode():
        op.execute(FILL.replace("LIMIT :size", ""))
        return
    while op.get_bind().execute(sa.text(FILL), {"size": BATCH}).rowcount:
        pass


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("ALTER TABLE products ADD COLUMN IF NOT EXISTS in_stock boolean NOT NULL DEFAULT true")
        op.execute(FUNCTION)
        for name, event in TRIGGERS.items():
            op.execute(
                f"CREATE OR REPLACE TRIGGER {name} {event} ON products FOR EACH ROW WHEN ({IS_WRONG})"
                " EXECUTE FUNCTION set_in_stock()"
            )
        fill()
        for name, indexed in NEW.items():
            op.execute(f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} ON {indexed} WHERE deleted_at IS NULL")
        for name in OLD:
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
        op.execute("ANALYZE products, store_orders")


def downgrade() -> None:
    for name, indexed in OLD.items():
        op.execute(f"CREATE INDEX {name} ON {indexed} WHERE deleted_at IS NULL")
    for name in NEW:
        op.execute(f"DROP INDEX {name}")
    for name in TRIGGERS:
        op.execute(f"DROP TRIGGER {name} ON products")
    op.execute("DROP FUNCTION set_in_stock()")
    op.execute("ALTER TABLE products DROP COLUMN in_stock")
