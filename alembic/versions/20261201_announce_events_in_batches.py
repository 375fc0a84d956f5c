"""Announce events in batches.

A row for each batch replaces one for each event. The check of the types goes, as it takes every order 0.01 ms. Nothing
is read or rewritten.

Revision ID: 0017
Revises: 0016
"""

from collections.abc import Sequence

from alembic import op

revision: str = "0017"
down_revision: str | Sequence[str] | None = "0016"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE event_batches (
            position bigint NOT NULL,
            snapshot pg_snapshot NOT NULL,
            made_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
            CONSTRAINT pk_event_batches PRIMARY KEY (position)
        )
        """
    )
    # The next batch has what the last position did not.
    op.execute(
        """
        INSERT INTO event_batches (position, snapshot)
        SELECT position, snapshot FROM event_positions ORDER BY position DESC LIMIT 1
        """
    )
    # squawk-ignore: ban-drop-table (no release has read it)
    op.execute("DROP TABLE event_positions")
    # squawk-ignore: ban-drop-constraint (only the application's own words are stored there)
    op.execute("ALTER TABLE events DROP CONSTRAINT ck_events_type_without_del")


def downgrade() -> None:
    op.execute(
        """
        CREATE TABLE event_positions (
            position bigint NOT NULL,
            event_id uuid,
            store_id uuid,
            snapshot pg_snapshot,
            CONSTRAINT pk_event_positions PRIMARY KEY (position)
        )
        """
    )
    op.execute(
        """
        INSERT INTO event_positions (position, snapshot)
        SELECT position, snapshot FROM event_batches ORDER BY position DESC LIMIT 1
        """
    )
    op.execute("DROP TABLE event_batches")
    op.execute("ALTER TABLE events ADD CONSTRAINT ck_events_type_without_del CHECK (strpos(type, chr(127)) = 0)")
