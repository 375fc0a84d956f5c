"""Remember the order of an idempotency key.

Revision ID: 0015
Revises: 0014
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0015"
down_revision: str | Sequence[str] | None = "0014"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("idempotency_keys", sa.Column("order_id", sa.Uuid(), nullable=True), if_not_exists=True)


def downgrade() -> None:
    op.drop_column("idempotency_keys", "order_id")
