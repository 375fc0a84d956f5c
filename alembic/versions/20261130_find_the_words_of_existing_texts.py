"""Find the words of existing texts, and index them.

Each step commits by itself, and can be repeated. What it locks, it locks for a fraction of a second.

Names that look the same in one store, or of stores of one owner, stay as they are: all but the oldest are marked and
aren't compared with others until they are renamed.

Revision ID: 0010
Revises: 0009
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import context, op

revision: str = "0010"
down_revision: str | Sequence[str] | None = "0009"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

FIRST = "00000000-0000-0000-0000-000000000000"
BATCH = 1_000
ATTEMPTS = 5
# Rows are locked in the order of their keys, as by orders.
FILL = """
    WITH batch AS (
        SELECT id FROM {table} WHERE id > CAST(:after AS uuid) AND words IS NULL ORDER BY id LIMIT :size
        FOR NO KEY UPDATE
    ), filled AS (
        UPDATE {table} SET words = words_in({table}) FROM batch WHERE {table}.id = batch.id
    )
    SELECT id FROM batch ORDER BY id DESC LIMIT 1
"""
INDEXES = {
    "ix_products_words": "products USING gin (words)",
    "ix_stores_words": "stores USING gin (words)",
    "ix_users_words": "users USING gin (word_vector(full_name || ' ' || email))",
    "ix_stores_plain_city_id": "stores (plain_text(city), id) WHERE deleted_at IS NULL",
}
# The unique names of each table: within which column, and by which index, which 2.0.0 knows by this name.
UNIQUE = {"products": ("store_id", "uq_products_store_id_name"), "stores": ("owner_id", "uq_stores_owner_id_name")}
MARK = """
    UPDATE {table} SET shares_name = true WHERE id IN (
        SELECT id FROM (
            SELECT id, row_number() OVER (PARTITION BY {within}, name_key(name) ORDER BY id) AS place
            FROM {table} WHERE deleted_at IS NULL AND shares_name IS NULL
        ) AS named WHERE place > 1
    )
"""


def fill(table: str) -> None:
    """Find the words of all rows, batch by batch; written to a file, in one."""
    statement = FILL.format(table=table)
    if context.is_offline_mode():
        op.execute(statement.replace(":after", f"'{FIRST}'").replace("LIMIT :size", ""))
        return
    last = FIRST
    while last is not None:
        last = op.get_bind().scalar(sa.text(statement), {"after": last, "size": BATCH})


def compare_names(table: str, within: str, index: str) -> None:
    """Replace the index of unique names. Names that are taken meanwhile may need another attempt."""
    for attempt in range(1, ATTEMPTS + 1):
        op.execute(MARK.format(table=table, within=within))
        try:
            op.execute(
                f"CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS {index}_new ON {table} ({within}, name_key(name))"
                " WHERE deleted_at IS NULL AND shares_name IS NULL"
            )
            break
        except sa.exc.IntegrityError:
            if attempt == ATTEMPTS:
                raise
    op.execute(f"DO $$ BEGIN DROP INDEX {index}; ALTER INDEX {index}_new RENAME TO {index}; END $$")


def upgrade() -> None:
    with op.get_context().autocommit_block():
        for table in UNIQUE:
            fill(table)
        for name, indexed in INDEXES.items():
            op.execute(f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} ON {indexed}")
        for table, (within, index) in UNIQUE.items():
            compare_names(table, within, index)
        op.execute("ANALYZE products, stores, users")


def downgrade() -> None:
    for name in INDEXES:
        op.execute(f"DROP INDEX {name}")
    for table, (within, index) in UNIQUE.items():
        op.execute(f"DROP INDEX {index}")
        op.execute(f"CREATE UNIQUE INDEX {index} ON {table} ({within}, name) WHERE deleted_at IS NULL")
