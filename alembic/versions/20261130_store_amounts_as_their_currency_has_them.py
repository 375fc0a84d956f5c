"""Store amounts with the decimals of their currency.

Postgres keeps the decimals of each value once the type prescribes none. Amounts that have more than their currency has
stay as they are. Processes of 1.0.0 go on writing two decimals while they are replaced; such an amount is shown with
them until it is changed. Going back rounds to two decimals.

Revision ID: 0007
Revises: 0006
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import context, op

revision: str = "0007"
down_revision: str | Sequence[str] | None = "0006"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# The currencies of ISO 4217 that don't have two decimals.
DECIMALS = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
AMOUNTS = {"products": "price", "order_items": "unit_price", "store_orders": "total"}
BATCH = 10_000


def rescale(table: str, column: str, decimals: int, currencies: str) -> None:
    """Give amounts the decimals of their currency, as far as that changes none, in batches."""
    listed = ", ".join(f"'{currency}'" for currency in currencies.split())
    found = (
        f"SELECT id FROM {table} WHERE currency IN ({listed}) AND scale({column}) <> {decimals}"  # noqa: S608  # our names
        f" AND {column} = round({column}, {decimals})"
    )
    update = f"UPDATE {table} SET {column} = round({column}, {decimals}) WHERE id IN ({{}})"  # noqa: S608  # our names
    if context.is_offline_mode():
        op.execute(update.format(found))
        return
    while op.get_bind().execute(sa.text(update.format(f"{found} ORDER BY id LIMIT {BATCH}"))).rowcount:
        pass


def upgrade() -> None:
    with op.get_context().autocommit_block():
        for table, column in (("products", "price"), ("order_items", "unit_price")):
            name = f"ck_{table}_{column}_not_negative"
            # Without its constraint, which Postgres would check anew, the table is not read.
            op.execute(
                f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name}, ALTER COLUMN {column} TYPE numeric,"
                f" ADD CONSTRAINT {name} CHECK ({column} >= 0) NOT VALID"
            )
            op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}")
        for table, column in AMOUNTS.items():
            for decimals, currencies in DECIMALS.items():
                rescale(table, column, decimals, currencies)


def downgrade() -> None:
    op.execute("ALTER TABLE order_items ALTER COLUMN unit_price TYPE numeric(12, 2)")
    op.execute("ALTER TABLE products ALTER COLUMN price TYPE numeric(12, 2)")
