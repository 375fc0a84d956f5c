"""Split orders by store, and number them.

Processes of 1.0.0 go on writing while they are replaced. They know nothing of parts and numbers, so triggers fill in what
their statements leave out. A later migration drops the triggers.

Revision ID: 0005
Revises: 0004
"""

from collections.abc import Sequence

from alembic import op

revision: str = "0005"
down_revision: str | Sequence[str] | None = "0004"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

FUNCTIONS = (
    # Eight of 32 characters that are not mistaken for one another (Crockford's Base32): a trillion numbers.
    """
    CREATE FUNCTION order_number() RETURNS text LANGUAGE plpgsql VOLATILE AS $$ DECLARE
        letters text := '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
        random bytea := uuid_send(gen_random_uuid());
        number text := '';
    BEGIN
        FOR place IN 8..15 LOOP
            number := number || substr(letters, 1 + (get_byte(random, place) & 31), 1);
        END LOOP;
        RETURN substr(number, 1, 4) || '-' || substr(number, 5);
    END $$
    """,
    # A UUIDv7 of this moment.
    """
    CREATE FUNCTION key_at(moment timestamptz) RETURNS uuid LANGUAGE sql VOLATILE AS $$
        SELECT encode(
            set_bit(set_bit(overlay(
                uuid_send(gen_random_uuid())
                PLACING substring(int8send((extract(epoch FROM moment) * 1000)::bigint) FROM 3) FROM 1 FOR 6
            ), 52, 1), 53, 1), 'hex'
        )::uuid
    $$
    """,
    """
    CREATE FUNCTION name_customer() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        SELECT full_name INTO NEW.customer_name FROM users WHERE id = NEW.customer_id;
        RETURN NEW;
    END $$
    """,
    """
    CREATE FUNCTION split_order_item() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO store_orders (id, order_id, store_id, placed_at, total, currency)
        SELECT key_at(date), id, NEW.store_id, date, 0, NEW.currency FROM orders WHERE id = NEW.order_id
        ON CONFLICT (order_id, store_id) DO NOTHING;
        UPDATE store_orders SET total = total + NEW.unit_price * NEW.quantity
        WHERE order_id = NEW.order_id AND store_id = NEW.store_id RETURNING id INTO NEW.store_order_id;
        SELECT name INTO NEW.product_name FROM products WHERE id = NEW.product_id;
        RETURN NEW;
    END $$
    """,
    """
    CREATE FUNCTION follow_order() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        UPDATE store_orders SET status = 'CANCELLED', updated_at = now()
        WHERE order_id = NEW.id AND status = 'OPEN' AND NEW.status = 'CANCELLED';
        UPDATE store_orders SET deleted_at = NEW.deleted_at
        WHERE order_id = NEW.id AND deleted_at IS DISTINCT FROM NEW.deleted_at;
        RETURN NULL;
    END $$
    """,
    """
    CREATE FUNCTION follow_order_item() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        UPDATE store_orders SET status = 'FULFILLED', updated_at = now()
        WHERE id = NEW.store_order_id AND status = 'OPEN'
        AND NOT EXISTS (SELECT FROM order_items WHERE store_order_id = NEW.store_order_id AND fulfilled_at IS NULL);
        RETURN NULL;
    END $$
    """,
)
TABLE = """
    CREATE TABLE store_orders (
        order_id uuid NOT NULL CONSTRAINT fk_store_orders_order_id REFERENCES orders,
        store_id uuid NOT NULL CONSTRAINT fk_store_orders_store_id REFERENCES stores,
        placed_at timestamptz NOT NULL DEFAULT now(),
        status varchar(20) NOT NULL DEFAULT 'OPEN',
        total numeric NOT NULL,
        currency text NOT NULL,
        decline_reason text,
        deleted_at timestamptz,
        id uuid NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT pk_store_orders PRIMARY KEY (id),
        CONSTRAINT uq_store_orders_order_id_store_id UNIQUE (order_id, store_id),
        CONSTRAINT ck_store_orders_status CHECK (status IN ('OPEN', 'FULFILLED', 'DECLINED', 'CANCELLED')),
        CONSTRAINT ck_store_orders_currency_without_del CHECK (strpos(currency, chr(127)) = 0),
        CONSTRAINT ck_store_orders_decline_reason_without_del CHECK (strpos(decline_reason, chr(127)) = 0)
    )
"""
COLUMNS = (
    """
    ALTER TABLE orders
        ADD COLUMN number text,
        ADD COLUMN customer_name text,
        ADD COLUMN note text,
        ADD COLUMN recipient text,
        ADD COLUMN address_lines text[],
        ADD COLUMN city text,
        ADD COLUMN postcode text,
        ADD COLUMN country text,
        ADD COLUMN phone text,
        ALTER COLUMN number SET DEFAULT order_number()
    """,
    """
    ALTER TABLE order_items
        ADD COLUMN store_order_id uuid,
        ADD COLUMN product_name text
    """,
)
TRIGGERS = (
    """
    CREATE TRIGGER name_customer BEFORE INSERT ON orders FOR EACH ROW
    WHEN (NEW.customer_name IS NULL) EXECUTE FUNCTION name_customer()
    """,
    """
    CREATE TRIGGER split_order_item BEFORE INSERT ON order_items FOR EACH ROW
    WHEN (NEW.store_order_id IS NULL) EXECUTE FUNCTION split_order_item()
    """,
    """
    CREATE TRIGGER follow_order AFTER UPDATE OF status, deleted_at ON orders FOR EACH ROW
    EXECUTE FUNCTION follow_order()
    """,
    """
    CREATE TRIGGER follow_order_item AFTER UPDATE OF fulfilled_at ON order_items FOR EACH ROW
    EXECUTE FUNCTION follow_order_item()
    """,
)


def upgrade() -> None:
    for statement in (*FUNCTIONS, TABLE, *COLUMNS, *TRIGGERS):
        op.execute(statement)
    op.create_index(
        "ix_store_orders_store_id_placed_at_id",
        "store_orders",
        ["store_id", "placed_at", "id"],
        postgresql_where="deleted_at IS NULL",
    )


def downgrade() -> None:
    op.execute("DROP TRIGGER follow_order_item ON order_items")
    op.execute("DROP TRIGGER split_order_item ON order_items")
    op.execute("DROP TRIGGER follow_order ON orders")
    op.execute("DROP TRIGGER name_customer ON orders")
    for function in ("follow_order_item", "follow_order", "split_order_item", "name_customer"):
        op.execute(f"DROP FUNCTION {function}()")
    op.execute("ALTER TABLE order_items DROP COLUMN store_order_id, DROP COLUMN product_name")
    op.execute(
        "ALTER TABLE orders DROP COLUMN number, DROP COLUMN customer_name, DROP COLUMN note, DROP COLUMN recipient,"
        " DROP COLUMN address_lines, DROP COLUMN city, DROP COLUMN postcode, DROP COLUMN country, DROP COLUMN phone"
    )
    op.execute("DROP TABLE store_orders")
    op.execute("DROP FUNCTION key_at(timestamptz)")
    op.execute("DROP FUNCTION order_number()")
