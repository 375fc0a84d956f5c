"""Find the items of a part by its order.

There is no index of items by their part, as that of their orders serves. The trigger that follows what is fulfilled
looked through the whole table for each item: 35 ms with 500,000 items.

Revision ID: 0013
Revises: 0012
"""

from collections.abc import Sequence

from alembic import op

revision: str = "0013"
down_revision: str | Sequence[str] | None = "0012"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

FUNCTION = """
    CREATE OR REPLACE FUNCTION follow_order_item() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        UPDATE store_orders SET status = 'FULFILLED', updated_at = now()
        WHERE id = NEW.store_order_id AND status = 'OPEN'
        AND NOT EXISTS (SELECT FROM order_items WHERE {condition} AND fulfilled_at IS NULL);
        RETURN NULL;
    END $$
"""
OF_PART = "store_order_id = NEW.store_order_id"


def upgrade() -> None:
    op.execute(FUNCTION.format(condition=f"order_id = NEW.order_id AND {OF_PART}"))


def downgrade() -> None:
    op.execute(FUNCTION.format(condition=OF_PART))
