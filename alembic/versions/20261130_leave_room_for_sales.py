"""Leave room for sales in the pages of products.

Where a page has room, a product sold is written into the same page, and none of the table's ten indexes changes (a HOT
update). Pages that are full stay so; new ones get the room.

Revision ID: 0012
Revises: 0011
"""

from collections.abc import Sequence

from alembic import op

revision: str = "0012"
down_revision: str | Sequence[str] | None = "0011"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.execute("ALTER TABLE products SET (fillfactor = 90)")


def downgrade() -> None:
    op.execute("ALTER TABLE products RESET (fillfactor)")
