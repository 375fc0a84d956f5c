"""The statement that places an order: it locks, checks, and writes; and the one that says what it would find.

Placing orders is what a shop lives on, and each round trip takes a tenth of its time, so it is one statement. A refusal
comes back as data."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from asyncpg import UniqueViolationError
from sqlalchemy.dialects.postgresql import ARRAY

from app.audit import repository as audit
from app.db.models import Order, OrderItem, Product, StoreOrder
from app.db.statements import (
    KEY,
    KEYS,
    Prepared,
    Record,
    columns_of,
    rows_of,
    select_rows,
    table_of,
    unforeseen,
    unnested,
    with_key_in_array,
)
from app.db.unit_of_work import UnitOfWork
from app.errors import TransactionConflict
from app.events import repository as log
from app.idempotency import repository as idempotency
from app.users import repository as users

_products, _orders, _parts = table_of(Product).c, table_of(Order).c, table_of(StoreOrder).c
_FROM_PRODUCT = ("id", "name", "store_id", "price", "currency", "stock")
_OF_ORDER = (
    "id",
    "number",
    "customer_id",
    "note",
    "recipient",
    "address_lines",
    "city",
    "postcode",
    "country",
    "phone",
)


class Line(NamedTuple):
    """A product to order, with an id for its item, and one for its store's part of the order, in case it is the first
    item there."""

    id: UUID
    part_id: UUID
    product_id: UUID
    quantity: int


class Available(NamedTuple):
    """What there is of a product that can be ordered, and whether it is less than is ordered of it."""

    stock: int | None
    is_short: bool


class Outcome(NamedTuple):
    """What became of an order: it, or else the products that can be ordered."""

    is_superuser: bool | None
    """None if the customer's session has ended."""
    order: Record | None
    available: Mapping[UUID, Available]
    known: Record | None = None
    """What is known of the request's idempotency key, if that was found."""


def is_short(stock: sa.ColumnElement[Any], quantity: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
    """Return whether a product has less stock than is ordered of it; one whose stock isn't tracked never has."""
    return sa.func.coalesce(stock < quantity, sa.false())


def _given() -> sa.TableValuedAlias:
    """Return the lines of the order: the rows of the arrays `:line_…` and, for the products, `:keys`."""
    columns: dict[str, Any] = {"id": sa.Uuid(), "part_id": sa.Uuid(), "product_id": sa.Uuid(), "quantity": sa.Integer()}
    arrays = {name: sa.bindparam(f"line_{name}", type_=ARRAY(type_)) for name, type_ in columns.items()}
    return unnested("given", columns, map(unforeseen, {**arrays, "product_id": KEYS}.values()))


def _locked(customer: sa.CTE, *conditions: sa.ColumnElement[bool]) -> sa.CTE:
    """Return the products with `:keys` that can be ordered, locked in the order of their keys, as every operation locks
    them, after the account; none unless the conditions are met."""
    return (
        sa.select(*(_products[name] for name in _FROM_PRODUCT))
        .where(
            sa.select(sa.func.count()).select_from(customer).scalar_subquery() == 1,
            with_key_in_array(_products.id),
            _products.deleted_at.is_(None),
            *conditions,
        )
        .order_by(_products.id)
        .with_for_update(key_share=True)
        .cte("found")
    )


def _lines(found: sa.CTE) -> sa.CTE:
    """Return what is ordered of each product, as its item will have it."""
    given = _given()
    return (
        sa.select(
            given.c.id,
            sa.func.first_value(given.c.part_id)
            .over(partition_by=found.c.store_id, order_by=given.c.id)
            .label("store_order_id"),
            found.c.id.label("product_id"),
            found.c.name.label("product_name"),
            found.c.store_id,
            given.c.quantity,
            found.c.price.label("unit_price"),
            found.c.currency,
            found.c.stock,
            found.c.stock.is_not(None).label("from_stock"),
            is_short(found.c.stock, given.c.quantity).label("is_short"),
        )
        .join_from(given, found, found.c.id == given.c.product_id)
        .cte("line")
    )


def _placing(known: sa.CTE | None = None) -> Prepared:
    """Return the statement. Nothing is written unless every product can be ordered and has enough stock, nor if the
    request's idempotency key is known."""
    customer = users.IN_ACTION.cte("customer")
    line = _lines(_locked(customer, *([] if known is None else [~sa.exists().select_from(known)])))
    may_place = (
        sa.select(sa.func.count() == sa.func.cardinality(KEYS)).where(sa.not_(line.c.is_short)).scalar_subquery()
    )
    order = {name: sa.bindparam(f"order_{name}", type_=_orders[name].type) for name in _OF_ORDER}
    new = sa.select(customer.c.full_name, *(value.label(name) for name, value in order.items())).where(may_place)
    columns = [_orders[name] for name in ("customer_name", *order)]
    placed = sa.insert(Order).from_select(columns, new).returning(*columns_of(Order)).cte("placed")
    taken = (
        sa.update(Product)
        .where(_products.id == line.c.product_id, line.c.from_stock, sa.exists().select_from(placed))
        # Of the stock that was locked: Postgres checks constraints before it notices that a row has changed since the
        # statement began, so what was short then would be refused though it isn't any more.
        .values(stock=line.c.stock - line.c.quantity)
        .cte("taken")
    )
    parts = _split_up(line, placed)
    audited = audit.inserted_with(placed).cte("audited")
    row = (column.label(name) for name, column in placed.c.items())  # as the model names them: a record has no others
    refused = (line.c.product_id, line.c.stock, line.c.is_short)
    found = sa.select(customer.c.is_superuser, *row, *refused)
    done = [taken, parts, _inserted(line, placed), audited, _logged(line, placed, parts)]
    asked = sa.select(sa.literal_column("1")).subquery("asked").outerjoin(customer, sa.true())
    if known is not None:
        found, asked = found.add_columns(*known.c), asked.outerjoin(known, sa.true())
        done.append(idempotency.claimed_with(placed).cte("claimed"))
    joined = asked.outerjoin(placed, sa.true()).outerjoin(line, placed.c.id.is_(None))
    return Prepared(found.select_from(joined).add_cte(*done))


def _split_up(line: sa.CTE, placed: sa.CTE) -> sa.CTE:
    """Return the insertion of the parts, one for each store."""
    of_part = (line.c.store_order_id, line.c.store_id, line.c.currency)
    total = sa.func.sum(line.c.unit_price * line.c.quantity)
    parts = sa.select(*of_part, total, placed.c.id, placed.c.placed_at).join_from(line, placed, sa.true())
    columns = ["id", "store_id", "currency", "total", "order_id", "placed_at"]
    inserted = sa.insert(StoreOrder).from_select(columns, parts.group_by(*of_part, placed.c.id, placed.c.placed_at))
    return inserted.returning(_parts.id, _parts.store_id, _parts.order_id).cte("part")


def _inserted(line: sa.CTE, placed: sa.CTE) -> sa.CTE:
    """Return the insertion of the items."""
    names = [name for name, _ in line.c.items() if name not in ("stock", "is_short")]
    items = sa.select(placed.c.id.label("order_id"), *(line.c[name] for name in names))
    return sa.insert(OrderItem).from_select(["order_id", *names], items.join_from(line, placed, sa.true())).cte()


def _logged(line: sa.CTE, placed: sa.CTE, part: sa.CTE) -> sa.CTE:
    """Return the insertion of the events. Each has the key of a new row that no other event has, made by the
    application: of the order, its parts, and the items that took stock."""
    actor = sa.bindparam("entry_actor_id", type_=sa.Uuid())
    none = sa.null().cast(sa.Uuid)

    def event(type_: str, key: Any, entity: Any, store: Any, **payload: Any) -> sa.Select[Any]:
        facts = sa.func.jsonb_build_object(*(each for pair in payload.items() for each in pair))
        return sa.select(key, sa.literal_column(f"'{type_}'"), entity, store, actor, facts)

    of_order = event("order.placed", placed.c.id, placed.c.id, none, number=placed.c.number)
    of_parts = event("store_order.placed", part.c.id, part.c.id, part.c.store_id, orderId=part.c.order_id)
    left = line.c.stock - line.c.quantity
    of_stock = event("product.stock_changed", line.c.id, line.c.product_id, line.c.store_id, stock=left)
    taken = of_stock.join_from(line, placed, sa.true()).where(line.c.from_stock)
    return log.inserted_from(sa.union_all(of_order, of_parts, taken))


PLACE = _placing()
"""The statement without an idempotency key, which benchmarks run, too."""
_PLACE_ONCE = _placing(idempotency.known())
_ORDER = Prepared(select_rows(Order).where(_orders.id == KEY))


async def place(
    work: UnitOfWork,
    session_id: UUID | None,
    order: Mapping[str, Any],
    lines: Sequence[Line],
    entry: Mapping[str, Any],
    claim: Mapping[str, Any] | None = None,
) -> Outcome:
    """Insert an order with its parts and items, take their stock, write the audit trail's entry and the events, and
    claim an idempotency key. TransactionConflict if another request has claimed the key meanwhile, or another order has
    the number: with a million orders, one new order in a million is affected."""
    values = {f"order_{name}": order.get(name) for name in _OF_ORDER}
    values |= {f"line_{name}": [getattr(line, name) for line in lines] for name in ("id", "part_id", "quantity")}
    asked = {"keys": [line.product_id for line in lines], "viewer_id": order["customer_id"], "session_id": session_id}
    try:
        if claim is None:
            rows = await work.write(PLACE, _is_placed, **values, **asked, **entry)
        else:
            rows = await work.write(_PLACE_ONCE, _is_placed, **values, **asked, **entry, **claim)
    except UniqueViolationError as failure:
        if failure.constraint_name in ("uq_orders_number", idempotency.UNIQUE):
            raise TransactionConflict from failure
        raise
    first = rows[0]
    available = {row.product_id: Available(row.stock, row.is_short) for row in rows if row.product_id is not None}
    known = first if first.get("key_id") is not None else None
    return Outcome(first.is_superuser, first if _is_placed(rows) else None, available, known)


async def placed_before(work: UnitOfWork, key: UUID | None) -> Record | None:
    """Return the order that an earlier request has placed; from now on, only the payload can fail."""
    work.has_committed = True
    work.name_written(key)
    return await work.first(_ORDER, key=key)


def _is_placed(rows: Sequence[Record]) -> bool:
    return rows[0].id is not None


async def products_to_quote(work: UnitOfWork, quantities: Mapping[UUID, int]) -> Mapping[UUID, Any]:
    """Return those of the products that can be ordered, not locked, each with whether it `is_short`."""
    given = rows_of("given", {"id": sa.Uuid(), "quantity": sa.Integer()}, list(quantities.items()))
    found = sa.select(*columns_of(Product), is_short(_products.stock, given.c.quantity).label("is_short"))
    found = found.where(_products.id == given.c.id, _products.deleted_at.is_(None))
    return {row.id: row for row in await work.rows(found)}
