"""Bound the audit trail and the event log by time.

Each table so far becomes the first partition of itself in the next migration, which then needn't read it: a check says
that all of its rows are from before a moment, and is validated here, while others read and write. The moment is at least
four weeks ahead, so that no row is refused. Each step commits by itself, and can be repeated.

Revision ID: 0018
Revises: 0017
"""

import time
from collections.abc import Sequence
from uuid import UUID

from alembic import op

revision: str = "0018"
down_revision: str | Sequence[str] | None = "0017"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# squawk-ignore: ban-drop-constraint (no user is ever deleted, and the checks are of an earlier attempt)

AHEAD_DAYS = 28
DAYS = {"audit_entries": 28, "events_default": 7}
"""How many days each further partition has."""
FIRST_MONDAY = 4  # 1970-01-05
A_DAY = 86_400_000  # ms


def first_key_after(days: int) -> UUID:
    """Return the first key of the period of so many days that begins four weeks from now, or later."""
    earliest = time.time_ns() // 1_000_000 // A_DAY + AHEAD_DAYS
    begin = earliest + (FIRST_MONDAY - earliest) % days
    return UUID(int=begin * A_DAY << 80)


def upgrade() -> None:
    with op.get_context().autocommit_block():
        # To drop a partition with a foreign key would lock the table that it refers to.
        op.execute("ALTER TABLE audit_entries DROP CONSTRAINT IF EXISTS fk_audit_entries_actor_id")
        for table, days in DAYS.items():
            name = f"ck_{table}_bounded"
            op.execute(f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name}")
            op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} CHECK (id < '{first_key_after(days)}') NOT VALID")
            op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}")


def downgrade() -> None:
    for table in DAYS:
        op.execute(f"ALTER TABLE {table} DROP CONSTRAINT ck_{table}_bounded")
    op.create_foreign_key("fk_audit_entries_actor_id", "audit_entries", "users", ["actor_id"], ["id"])
