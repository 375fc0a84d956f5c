"""Partition the audit trail and the event log by time.

Nothing is read or rewritten: what the tables have so far becomes their first partition, by checks that are validated
already. Both versions read and write the same names. `python -m app prune` and the server add further partitions.

Revision ID: 0019
Revises: 0018
"""

from collections.abc import Sequence

from alembic import op

revision: str = "0019"
down_revision: str | Sequence[str] | None = "0018"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# squawk-ignore: renaming-table (in the same transaction, another table gets the name)
# squawk-ignore: renaming-object (in the same transaction, another index gets the name)
# squawk-ignore: ban-drop-constraint (the partition has the same bound)
# squawk-ignore: require-concurrent-partition-detach (Postgres can't where a default partition exists)

INDEXES = ("actor_id", "entity_id", "operation")
# The owner, and who may do what, as with the table before: the API may be another role than the one that migrates.
AS_BEFORE = """
DO $$ DECLARE given record; BEGIN
    EXECUTE format('ALTER TABLE {table} OWNER TO %I', (SELECT rolname FROM pg_class JOIN pg_roles r ON r.oid = relowner
        WHERE pg_class.oid = '{before}'::regclass));
    FOR given IN SELECT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(rolname) END AS role, privilege_type,
            CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END AS option
        FROM pg_class CROSS JOIN aclexplode(relacl) LEFT JOIN pg_roles r ON r.oid = grantee
        WHERE pg_class.oid = '{before}'::regclass
    LOOP
        EXECUTE format('GRANT %s ON {table} TO %s%s', given.privilege_type, given.role, given.option);
    END LOOP;
END $$
"""
# The check that 0018 has validated says where the first partition ends.
ATTACH = """
DO $$ BEGIN
    EXECUTE format('ALTER TABLE {table} ATTACH PARTITION {table}_past FOR VALUES FROM (MINVALUE) TO (%L)', (
        SELECT substring(pg_get_constraintdef(oid) FROM '[0-9a-f]{{8}}-[0-9a-f-]{{27}}') FROM pg_constraint
        WHERE conrelid = '{table}_past'::regclass AND conname = '{check}'
    ));
END $$
"""

# The rows of all partitions in one table, with the bound of the last partition, as 0018 has left it.
TOGETHER = """
DO $$ DECLARE partition regclass; bound text; BEGIN
    SELECT max(substring(pg_get_expr(relpartbound, oid) FROM $re$TO \\('(.*)'\\)$re$)) INTO bound
        FROM pg_class JOIN pg_inherits ON oid = inhrelid WHERE inhparent = '{table}'::regclass;
    CREATE TABLE {table}_all (LIKE {table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
    INSERT INTO {table}_all SELECT * FROM {table};
    EXECUTE format('ALTER TABLE {table}_all ADD CONSTRAINT {check} CHECK (id < %L)', bound);
    FOR partition IN SELECT inhrelid FROM pg_inherits WHERE inhparent = '{table}'::regclass LOOP
        EXECUTE format('DROP TABLE %s', partition);
    END LOOP;
END $$
"""


def attach_the_past(table: str, check: str) -> None:
    """Make the renamed table the first partition, and add one for what no other has."""
    op.execute(ATTACH.format(table=table, check=check))
    op.execute(f"ALTER TABLE {table}_past DROP CONSTRAINT {check}")
    op.execute(f"CREATE TABLE {table}_default PARTITION OF {table} DEFAULT")
    op.execute(AS_BEFORE.format(table=f"{table}_default", before=table))


def index_the_trail() -> None:
    """Add the indexes of the audit trail."""
    op.execute("ALTER TABLE audit_entries ADD CONSTRAINT pk_audit_entries PRIMARY KEY (id)")
    for column in INDEXES:
        op.execute(f"CREATE INDEX ix_audit_entries_{column}_id ON audit_entries ({column}, id)")


def upgrade() -> None:
    op.execute("ALTER TABLE audit_entries RENAME TO audit_entries_past")
    op.execute("ALTER INDEX pk_audit_entries RENAME TO audit_entries_past_pkey")
    for column in INDEXES:
        op.execute(f"ALTER INDEX ix_audit_entries_{column}_id RENAME TO audit_entries_past_{column}_id_idx")
    op.execute(
        "CREATE TABLE audit_entries (LIKE audit_entries_past INCLUDING DEFAULTS INCLUDING CONSTRAINTS)"
        " PARTITION BY RANGE (id)"
    )
    op.execute("ALTER TABLE audit_entries DROP CONSTRAINT ck_audit_entries_bounded")
    op.execute(AS_BEFORE.format(table="audit_entries", before="audit_entries_past"))
    index_the_trail()
    attach_the_past("audit_entries", "ck_audit_entries_bounded")

    op.execute("ALTER TABLE events DETACH PARTITION events_default")
    op.execute("ALTER TABLE events_default RENAME TO events_past")
    op.execute("ALTER INDEX events_default_pkey RENAME TO events_past_pkey")
    op.execute("ALTER INDEX events_default_xid_idx RENAME TO events_past_xid_idx")
    attach_the_past("events", "ck_events_default_bounded")


def downgrade() -> None:
    op.execute(TOGETHER.format(table="audit_entries", check="ck_audit_entries_bounded"))
    op.execute(AS_BEFORE.format(table="audit_entries_all", before="audit_entries"))
    op.execute("DROP TABLE audit_entries")
    op.execute("ALTER TABLE audit_entries_all RENAME TO audit_entries")
    index_the_trail()
    op.execute(TOGETHER.format(table="events", check="ck_events_default_bounded"))
    op.execute("ALTER TABLE events_all RENAME TO events_default")
    op.execute("ALTER TABLE events ATTACH PARTITION events_default DEFAULT")
