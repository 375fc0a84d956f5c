"""Index the search for users.

Revision ID: 0008
Revises: 0007
"""

from collections.abc import Sequence

from alembic import op

revision: str = "0008"
down_revision: str | Sequence[str] | None = "0007"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX IF EXISTS ix_users_search")  # an attempt that failed leaves an invalid one
        op.execute(
            "CREATE INDEX CONCURRENTLY ix_users_search ON users USING gin (search_vector(full_name || ' ' || email))"
        )


def downgrade() -> None:
    op.execute("DROP INDEX ix_users_search")
