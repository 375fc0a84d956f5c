"""Every table on one page."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, ClassVar
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TSVECTOR
from sqlalchemy.dialects.postgresql.base import ischema_names
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from uuid_utils.compat import uuid7

from app.db.texts import OURS, forbid_quote
from app.lengths import NOTE, PARAGRAPHS

LONGEST = "longest"
"""Where a column says how many characters it can hold; the others hold a line."""
REFERS_TO = "refers_to"
"""Where a column without a foreign key says to which table it refers."""
FOLDED_NAME = "folded(name)"
PRODUCT_SEARCH = "setweight(search_vector(name), 'A') || setweight(search_vector(coalesce(description, '')), 'B')"
USER_WORDS = "word_vector((full_name || ' '::text) || email)"
_USER_SEARCH = "search_vector((full_name || ' '::text) || email)"
PRESENT = sa.text("deleted_at IS NULL")
DELETED = sa.text("deleted_at IS NOT NULL")
NAME_KEY = sa.text("name_key(name)")
NAMED = sa.text("deleted_at IS NULL AND shares_name IS NULL")


class Base(DeclarativeBase):
    """What every table has: a time-ordered key made here, two timestamps made by the database, and texts without the
    character that the compiled path uses for itself."""

    metadata = sa.MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: sa.DateTime(timezone=True),
        Decimal: sa.Numeric,  # with the decimals that each value has
        str: sa.Text,
        bytes: sa.LargeBinary,
        list[str]: ARRAY(sa.Text),
    }
    # For entities, which tests use: what the database makes comes back with the INSERT or UPDATE itself.
    __mapper_args__ = {"eager_defaults": True}

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    created_at: Mapped[datetime] = mapped_column(server_default=sa.func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=sa.func.now(), onupdate=sa.func.now())

    def __init_subclass__(cls, **options: Any) -> None:
        """Map the table, and forbid QUOTE in all its texts."""
        super().__init_subclass__(**options)
        if isinstance(table := getattr(cls, "__table__", None), sa.Table):
            forbid_quote(table)


class Audited(Base):
    """Rows whose changes are recorded in the audit trail, under the name of their class."""

    __abstract__ = True


class User(Audited):
    """An account: a customer, the owner of stores, or a superuser."""

    __tablename__ = "users"

    email: Mapped[str]
    full_name: Mapped[str]
    password_hash: Mapped[str] = mapped_column(deferred=True)
    is_superuser: Mapped[bool] = mapped_column(server_default=sa.text("false"), default=False)
    deleted_at: Mapped[datetime | None]

    __table_args__ = (
        sa.CheckConstraint("email = lower(email)", name="email_normalised"),
        sa.Index("uq_users_email", "email", unique=True, postgresql_where=PRESENT),
        sa.Index("ix_users_words", sa.text(USER_WORDS), postgresql_using="gin"),
        sa.Index("ix_users_search", sa.text(_USER_SEARCH), postgresql_using="gin"),  # for processes of 2.0.0
    )


class Session(Base):
    """A login: the family of refresh tokens that follow one another. Once it has ended, none of them is valid."""

    __tablename__ = "sessions"

    user_id: Mapped[UUID] = mapped_column(sa.ForeignKey("users.id"), index=True)
    ended_at: Mapped[datetime | None]
    network_hash: Mapped[bytes | None]
    """A hash of the network that the user logged in from; None once that could have been somebody else."""


class RefreshToken(Base):
    """One refresh token of a session, stored as a SHA-256 hash; valid for one use."""

    __tablename__ = "refresh_tokens"

    session_id: Mapped[UUID] = mapped_column(sa.ForeignKey("sessions.id", ondelete="CASCADE"), index=True)
    token_hash: Mapped[bytes] = mapped_column(unique=True)
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class Store(Audited):
    """A shop. Its currency never changes."""

    __tablename__ = "stores"

    owner_id: Mapped[UUID] = mapped_column(sa.ForeignKey("users.id"))
    name: Mapped[str]
    street: Mapped[str]
    # The column is named as in the first release, whose processes write it while they are replaced.
    postcode: Mapped[str] = mapped_column("zipcode", key="postcode")
    city: Mapped[str]
    country: Mapped[str]
    currency: Mapped[str]
    domain: Mapped[str | None]
    phone: Mapped[str | None]
    version: Mapped[int] = mapped_column(server_default=sa.text("1"))
    deleted_at: Mapped[datetime | None]
    folded_name: Mapped[str] = mapped_column(sa.Text(collation="C"), sa.Computed(FOLDED_NAME, True), deferred=True)
    # A trigger finds the words of the name: adding a generated column would have rewritten the table.
    words: Mapped[str | None] = mapped_column(TSVECTOR, deferred=True)
    # True if an older store of the owner had a name that looks the same when such names were first compared; else null.
    shares_name: Mapped[bool | None] = mapped_column(deferred=True)
    # For processes of 2.0.0.
    search: Mapped[str] = mapped_column(TSVECTOR, sa.Computed("search_vector(name)", True), deferred=True)

    __mapper_args__ = {**Base.__mapper_args__, "version_id_col": version}
    __table_args__ = (
        sa.UniqueConstraint("id", "currency"),  # what products.currency refers to
        sa.CheckConstraint("country ~ '^[A-Z]{2}$'", name="country_iso_3166"),
        sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency_iso_4217"),
        sa.Index("uq_stores_owner_id_name", "owner_id", NAME_KEY, unique=True, postgresql_where=NAMED),
        sa.Index("uq_stores_domain", "domain", unique=True, postgresql_where=PRESENT),
        sa.Index("ix_stores_owner_id_id", "owner_id", "id", postgresql_where=PRESENT),
        sa.Index("ix_stores_folded_name_id", "folded_name", "id", postgresql_where=PRESENT),
        sa.Index("ix_stores_created_at_id", "created_at", "id", postgresql_where=PRESENT),
        sa.Index("ix_stores_country_id", "country", "id", postgresql_where=PRESENT),
        sa.Index("ix_stores_plain_city_id", sa.func.plain_text(sa.text("city")), "id", postgresql_where=PRESENT),
        sa.Index("ix_stores_currency_id", "currency", "id", postgresql_where=PRESENT),
        sa.Index("ix_stores_words", "words", postgresql_using="gin"),
        # For processes of 2.0.0.
        sa.Index("ix_stores_search", "search", postgresql_using="gin"),
        sa.Index("ix_stores_city_id", sa.func.folded(sa.text("city")), "id", postgresql_where=PRESENT),
    )


def _filtered(name: str, *order: Any) -> sa.Index:
    """Return an index of a list of products in this order. It also holds their currency, price, and whether they are
    in stock, so that Postgres 17 and later filters by these without reading products."""
    return sa.Index(name, *order, "currency", sa.func.least(sa.text("price")), "in_stock", postgresql_where=PRESENT)


class Product(Audited):
    """Something a store sells. A `stock` of NULL is not tracked and never runs out."""

    __tablename__ = "products"

    store_id: Mapped[UUID]
    currency: Mapped[str]
    name: Mapped[str]
    description: Mapped[str | None] = mapped_column(info={LONGEST: PARAGRAPHS})
    price: Mapped[Decimal]
    stock: Mapped[int | None]
    # Set by a trigger. The indexes hold it instead of the stock, so that they stay the same when one of many is sold.
    in_stock: Mapped[bool] = mapped_column(server_default=sa.true(), deferred=True)
    version: Mapped[int] = mapped_column(server_default=sa.text("1"))
    deleted_at: Mapped[datetime | None]
    folded_name: Mapped[str] = mapped_column(sa.Text(collation="C"), sa.Computed(FOLDED_NAME, True), deferred=True)
    words: Mapped[str | None] = mapped_column(TSVECTOR, deferred=True)  # found by a trigger, as those of stores
    shares_name: Mapped[bool | None] = mapped_column(deferred=True)  # as of stores
    search: Mapped[str] = mapped_column(TSVECTOR, sa.Computed(PRODUCT_SEARCH, True), deferred=True)  # for 2.0.0

    __mapper_args__ = {**Base.__mapper_args__, "version_id_col": version}
    __table_args__ = (
        # The currency is a copy of the store's, so that prices need no join; this key keeps it true.
        sa.ForeignKeyConstraint(["store_id", "currency"], ["stores.id", "stores.currency"]),
        sa.CheckConstraint("price >= 0", name="price_not_negative"),
        sa.CheckConstraint("stock >= 0", name="stock_not_negative"),
        sa.Index("uq_products_store_id_name", "store_id", NAME_KEY, unique=True, postgresql_where=NAMED),
        _filtered("ix_products_by_id", sa.func.least(sa.text("id"))),  # see disguised
        _filtered("ix_products_by_name", "folded_name", "id"),
        _filtered("ix_products_by_price", "price", "id"),
        _filtered("ix_products_by_age", "created_at", "id"),
        _filtered("ix_products_of_store_by_id", "store_id", sa.func.least(sa.text("id"))),
        _filtered("ix_products_of_store_by_name", "store_id", "folded_name", "id"),
        _filtered("ix_products_of_store_by_price", "store_id", "price", "id"),
        _filtered("ix_products_of_store_by_age", "store_id", "created_at", "id"),
        sa.Index("ix_products_store_id_deleted_at", "store_id", "deleted_at", postgresql_where=DELETED),
        sa.Index("ix_products_words", "words", postgresql_using="gin"),
        sa.Index("ix_products_store_id_id", "store_id", "id", postgresql_where=PRESENT),  # for processes of 2.0.0
        sa.Index("ix_products_search", "search", postgresql_using="gin"),  # for processes of 2.0.0
        {"postgresql_with": {"fillfactor": 90}},  # a sale stays in its page, and changes no index
    )


class OrderStatus(StrEnum):
    """The stages of an order, which follow from those of its parts."""

    PLACED = "PLACED"
    PARTIALLY_FULFILLED = "PARTIALLY_FULFILLED"
    FULFILLED = "FULFILLED"
    CANCELLED = "CANCELLED"


class StoreOrderStatus(StrEnum):
    """The stages of the part of an order that one store sells."""

    OPEN = "OPEN"
    FULFILLED = "FULFILLED"
    DECLINED = "DECLINED"
    CANCELLED = "CANCELLED"


class Order(Audited):
    """What a customer ordered at one time, from any number of stores. The customer's name and the address are as they
    were at that time."""

    __tablename__ = "orders"

    customer_id: Mapped[UUID] = mapped_column(sa.ForeignKey("users.id"))
    # Made by the application; the default is for processes of 1.0.0, which know no numbers.
    number: Mapped[str] = mapped_column(server_default=sa.text("order_number()"))
    customer_name: Mapped[str]
    # The column is named as in the first release, whose processes write it while they are replaced.
    placed_at: Mapped[datetime] = mapped_column("date", key="placed_at", server_default=sa.func.now())
    status: Mapped[OrderStatus] = mapped_column(
        sa.Enum(OrderStatus, native_enum=False, create_constraint=True, name="status", length=20),
        server_default=OrderStatus.PLACED,
    )
    note: Mapped[str | None] = mapped_column(info={LONGEST: NOTE})
    recipient: Mapped[str | None]
    address_lines: Mapped[list[str] | None]
    city: Mapped[str | None]
    postcode: Mapped[str | None]
    country: Mapped[str | None]
    phone: Mapped[str | None]
    deleted_at: Mapped[datetime | None]

    __table_args__ = (
        sa.Index("uq_orders_number", "number", unique=True),
        sa.Index("ix_orders_date_id", "placed_at", "id", postgresql_where=PRESENT),
        sa.Index("ix_orders_customer_id_date_id", "customer_id", "placed_at", "id", postgresql_where=PRESENT),
    )


class StoreOrder(Audited):
    """The part of an order that one store sells. Its total stays as ordered."""

    __tablename__ = "store_orders"

    order_id: Mapped[UUID] = mapped_column(sa.ForeignKey("orders.id"))
    store_id: Mapped[UUID] = mapped_column(sa.ForeignKey("stores.id"))
    placed_at: Mapped[datetime] = mapped_column(server_default=sa.func.now())
    status: Mapped[StoreOrderStatus] = mapped_column(
        sa.Enum(StoreOrderStatus, native_enum=False, create_constraint=True, name="status", length=20),
        server_default=StoreOrderStatus.OPEN,
    )
    total: Mapped[Decimal]
    currency: Mapped[str]
    decline_reason: Mapped[str | None]
    deleted_at: Mapped[datetime | None]

    __table_args__ = (
        sa.UniqueConstraint("order_id", "store_id"),
        sa.Index("ix_store_orders_of_store", "store_id", "placed_at", "id", "status", postgresql_where=PRESENT),
    )


class OrderItem(Base):
    """A product in an order, with the name, the price and the currency at that time."""

    __tablename__ = "order_items"

    # The part refers to the order and the store. Without keys that check that again for each item, and without three
    # indexes of items, an order by parts takes 1.2 times the CPU of Postgres that one without took, instead of 1.4.
    order_id: Mapped[UUID]
    store_id: Mapped[UUID]
    store_order_id: Mapped[UUID] = mapped_column(sa.ForeignKey("store_orders.id"))
    product_id: Mapped[UUID] = mapped_column(sa.ForeignKey("products.id"))
    product_name: Mapped[str]
    quantity: Mapped[int]
    unit_price: Mapped[Decimal]
    currency: Mapped[str]
    # Whether the item holds units taken from stock. It holds none if stock wasn't tracked when the order was placed, or
    # once its units have been returned: what was taken is returned once.
    from_stock: Mapped[bool] = mapped_column(server_default=sa.text("true"))
    fulfilled_at: Mapped[datetime | None]

    __table_args__ = (
        sa.CheckConstraint("quantity BETWEEN 1 AND 10000", name="quantity_in_range"),
        sa.CheckConstraint("unit_price >= 0", name="unit_price_not_negative"),
        sa.UniqueConstraint("order_id", "product_id"),  # its index finds the items of an order, and of its parts
    )


class TransactionId(sa.types.UserDefinedType[int]):
    """The id of a transaction, with its epoch: it never wraps around."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """Return the name of the type."""
        return "xid8"


class Snapshot(sa.types.UserDefinedType[str]):
    """Which transactions had ended at a moment."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """Return the name of the type."""
        return "pg_snapshot"


ischema_names.update(xid8=TransactionId, pg_snapshot=Snapshot)  # for Alembic, which compares types


class Event(Base):
    """What happened to an entity, for subscribers; inserted by the statement that writes the audit trail. `app.events`
    declares the types. No foreign key: rows are pruned by age, and so are partitions."""

    __tablename__ = "events"

    type: Mapped[str] = mapped_column(info={OURS: True})  # every order would pay for the check
    entity_id: Mapped[UUID]
    store_id: Mapped[UUID | None]
    actor_id: Mapped[UUID | None]
    payload: Mapped[dict[str, Any]] = mapped_column(JSONB)
    # Drawn once the entity is locked, so that the numbers of its events are in the order of commits.
    number: Mapped[int] = mapped_column(sa.BigInteger, sa.Identity())
    xid: Mapped[int] = mapped_column(TransactionId, server_default=sa.text("pg_current_xact_id()"))
    updated_at = None  # type: ignore[assignment]  # events never change

    __table_args__ = (sa.Index("ix_events_xid", "xid"), {"postgresql_partition_by": "RANGE (id)"})


class EventBatch(Base):
    """Events that are announced together: those that its snapshot sees, and that of the batch before did not. The first
    batch has none."""

    __tablename__ = "event_batches"

    position: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
    snapshot: Mapped[str] = mapped_column(Snapshot)
    made_at: Mapped[datetime] = mapped_column(server_default=sa.func.clock_timestamp())
    id = None  # type: ignore[assignment]  # the position is the key
    created_at = None  # type: ignore[assignment]
    updated_at = None  # type: ignore[assignment]  # batches never change


class AuditEntry(Base):
    """A record of a change to an entity: who made it, in which operation, to which fields. Never changed, and deleted
    by age only."""

    __tablename__ = "audit_entries"

    # No foreign key: to drop a partition would lock the users, and users are never deleted.
    actor_id: Mapped[UUID | None] = mapped_column(info={REFERS_TO: "users"})
    operation: Mapped[str]
    entity_type: Mapped[str | None]
    entity_id: Mapped[UUID | None]
    fields: Mapped[list[str]]
    request_id: Mapped[str]

    __table_args__ = (
        sa.Index("ix_audit_entries_actor_id_id", "actor_id", "id"),
        sa.Index("ix_audit_entries_entity_id_id", "entity_id", "id"),
        sa.Index("ix_audit_entries_operation_id", "operation", "id"),
        {"postgresql_partition_by": "RANGE (id)"},
    )


class IdempotencyKey(Base):
    """A mutation request that a client may send again: its fingerprint, and its response."""

    __tablename__ = "idempotency_keys"

    scope: Mapped[str]  # the id of the user, or empty for requests without a login
    key: Mapped[str]
    fingerprint: Mapped[bytes]
    response: Mapped[bytes | None]  # encrypted: it may hold tokens
    order_id: Mapped[UUID | None]
    """The order that was placed with the key, whose response may not be stored yet."""

    __table_args__ = (sa.UniqueConstraint("scope", "key"), sa.Index("ix_idempotency_keys_created_at", "created_at"))
