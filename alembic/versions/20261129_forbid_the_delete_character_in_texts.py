"""Forbid U+007F in texts.

Revision ID: 0004
Revises: 0003
"""

from collections.abc import Iterator, Sequence

from alembic import op

revision: str = "0004"
down_revision: str | Sequence[str] | None = "0003"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

TEXTS = {
    "users": ("email", "full_name", "password_hash"),
    "stores": ("name", "street", "zipcode", "city", "country", "currency", "domain", "phone"),
    "products": ("currency", "name", "description"),
    "order_items": ("currency",),
    "audit_entries": ("operation", "entity_type", "request_id"),
    "idempotency_keys": ("scope", "key"),
}


def constraints() -> Iterator[tuple[str, str, str]]:
    """Yield the table of each constraint, its name, and what it checks."""
    for table, columns in TEXTS.items():
        for column in columns:
            yield table, f"ck_{table}_{column}_without_del", f"strpos({column}, chr(127)) = 0"
    checked = "strpos(array_to_string(fields, ''), chr(127)) = 0"
    yield "audit_entries", "ck_audit_entries_fields_without_del", checked


def upgrade() -> None:
    # Each step can be repeated: what is committed on the way stays if a later step fails.
    clean()
    for table, name, condition in constraints():
        op.execute(f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name}")
        op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} CHECK ({condition}) NOT VALID")
    with op.get_context().autocommit_block():
        # By now the locks are released. Validating reads whole tables, and locks out nobody.
        for table, name, _ in constraints():
            op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}")


def clean() -> None:
    """Remove the character where it is. The API has always refused it, so this finds what was written by SQL."""
    for table, columns in TEXTS.items():
        cleaned = ", ".join(f"{column} = replace({column}, chr(127), '')" for column in columns)
        found = " OR ".join(f"strpos({column}, chr(127)) > 0" for column in columns)
        op.execute(f"UPDATE {table} SET {cleaned} WHERE {found}")
    op.execute(
        "UPDATE audit_entries SET fields = ARRAY("
        "SELECT replace(field, chr(127), '') FROM unnest(fields) WITH ORDINALITY AS each(field, place) ORDER BY place"
        ") WHERE strpos(array_to_string(fields, ''), chr(127)) > 0"
    )


def downgrade() -> None:
    for table, name, _ in constraints():
        op.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
