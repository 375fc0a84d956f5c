"""The SQL of orders and their items."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from app.audit import repository as audit
from app.db import notifications as events
from app.db.models import Order, OrderItem, Product
from app.db.pagination import Collection, Ordering
from app.db.statements import Prepared, Record, columns_of, select_all, table_of, unforeseen, with_key_in_array
from app.db.unit_of_work import UnitOfWork
from app.inputs import DateTimeRange
from app.orders.inputs import OrderFilter, OrderOrder
from app.security.viewer import Viewer
from app.stores import repository as stores
from app.users import repository as users

PLACED = "Placed"
"""The kind of event that notifies a store of an order with its items."""

orders = table_of(Order).c
items = table_of(OrderItem).c


def _conditions(_: Viewer | None, filter: OrderFilter) -> list[sa.ColumnElement[bool]]:
    """Return the conditions that a filter puts on orders, of all customers."""
    found: list[sa.ColumnElement[bool]] = [orders.deleted_at.is_(None)]
    date = filter.date or DateTimeRange()
    if filter.status is not None:
        found.append(orders.status.in_(filter.status))
    if date.gte is not None:
        found.append(orders.date >= date.gte)
    if date.lt is not None:
        found.append(orders.date < date.lt)
    if filter.store_id is not None:
        found.append(placed_with(sa.type_coerce(filter.store_id, sa.Uuid())))
    return found


def _own_conditions(viewer: Viewer | None, filter: OrderFilter) -> list[sa.ColumnElement[bool]]:
    """Return the conditions for the viewer's own orders; a superuser's are all."""
    return [*_conditions(viewer, filter), seen_whole_by(viewer)]


def _conditions_of_stores(viewer: Viewer | None, filter: OrderFilter) -> list[sa.ColumnElement[bool]]:
    """Return the conditions for orders by what the viewer sees of them: not by items of other people's stores."""
    found = _conditions(viewer, filter)
    if filter.store_id is None:
        return found
    managed = sa.exists().where(stores.stores.id == filter.store_id, stores.managed_by(viewer))
    return [*found, sa.or_(seen_whole_by(viewer), managed)]


def _ordering(_: OrderFilter, sort: OrderOrder | None) -> Ordering:
    """Return the order by date, newest first by default."""
    return Ordering("DATE", sort is None or sort.descending, orders.date, orders.id)


everyones = Collection(Order, OrderFilter, _conditions, _ordering, OrderOrder)
own = Collection(Order, OrderFilter, _own_conditions, _ordering, OrderOrder)
of_stores = Collection(Order, OrderFilter, _conditions_of_stores, _ordering, OrderOrder)


def placed_with(store_id: sa.ColumnElement[UUID]) -> sa.ColumnElement[bool]:
    """Return the condition that the order has an item of this store."""
    placed = sa.exists().where(items.order_id == orders.id, items.store_id == store_id)
    # SQLAlchemy correlates with the next SELECT only, and the store may be a column of the one around that.
    return placed.correlate_except(table_of(OrderItem))


def seen_whole_by(viewer: Viewer | None) -> sa.ColumnElement[bool]:
    """Return the condition that the viewer sees all of the order: its customer, and any superuser."""
    if viewer is None:
        return sa.false()
    return sa.true() if viewer.is_superuser else orders.customer_id == viewer.id


def item_visible_to(viewer: Viewer | None) -> sa.ColumnElement[bool]:
    """Return the condition that the viewer sees the item: its whole order, or it is of a store of theirs."""
    if viewer is None:
        return sa.false()
    if viewer.is_superuser:
        return sa.true()
    whole = sa.exists().where(orders.id == items.order_id, seen_whole_by(viewer))
    own = sa.exists().where(stores.stores.id == items.store_id, stores.managed_by(viewer))
    return sa.or_(whole, own)


def visible_by_key(viewer: Viewer | None) -> sa.Select[Any]:
    """Return the statement for the orders with `:keys` of which the viewer sees all or some items."""
    present = select_all(Order).where(with_key_in_array(orders.id), orders.deleted_at.is_(None))
    if viewer is None:
        return present.where(sa.false())
    sold = sa.exists().where(items.order_id == orders.id, items.store_id == stores.stores.id, stores.managed_by(viewer))
    return present.where(sa.or_(seen_whole_by(viewer), sold))


def visible_items_by_key(viewer: Viewer | None) -> sa.Select[Any]:
    """Return the statement for the items with `:keys`, of orders that are not deleted, that the viewer sees."""
    present = sa.exists().where(orders.id == items.order_id, orders.deleted_at.is_(None))
    return select_all(OrderItem).where(with_key_in_array(items.id), present, item_visible_to(viewer))


def visible_items(viewer: Viewer | None) -> sa.Select[Any]:
    """Return the statement for the items that the viewer sees."""
    return select_all(OrderItem).where(item_visible_to(viewer))


def visible_totals(viewer: Viewer | None) -> sa.Select[Any]:
    """Return the statement for what the items that the viewer sees cost together, in each currency."""
    amount = sa.func.sum(items.unit_price * items.quantity).label("amount")
    return sa.select(items.currency, amount).where(item_visible_to(viewer)).group_by(items.currency)


async def locked_order(session: AsyncSession, key: UUID) -> Order | None:
    """Return the order that is not deleted, locked: every step of its life takes this lock first."""
    found = sa.select(Order).where(Order.id == key, Order.deleted_at.is_(None)).with_for_update()
    return await session.scalar(found.execution_options(populate_existing=True))


async def taken_from_stock(session: AsyncSession, order_id: UUID) -> Mapping[UUID, int]:
    """Return how many of each product the order took from stock."""
    taken = sa.select(OrderItem.product_id, OrderItem.quantity).where(
        OrderItem.order_id == order_id, OrderItem.from_stock
    )
    return {row.product_id: row.quantity for row in await session.execute(taken)}


async def managed_items(session: AsyncSession, viewer: Viewer, order_id: UUID) -> Sequence[OrderItem]:
    """Return the items of the order that the viewer may fulfil: those of stores they manage."""
    own = sa.exists().where(stores.stores.id == OrderItem.store_id, stores.managed_by(viewer))
    found = sa.select(OrderItem).where(OrderItem.order_id == order_id, own).execution_options(populate_existing=True)
    return (await session.scalars(found)).all()


async def unfulfilled(session: AsyncSession, order_id: UUID) -> int:
    """Return how many items of the order have not been fulfilled."""
    waiting = sa.select(sa.func.count()).where(OrderItem.order_id == order_id, OrderItem.fulfilled_at.is_(None))
    return await session.scalar(waiting) or 0


_products = table_of(Product).c


def _to_order() -> Prepared:
    """Return the statement for the account of the customer, and for each product with `:keys` that can be ordered; the
    account is locked first, and the products in the order of their keys, as every operation locks them."""
    customer = users.IN_ACTION.cte("customer")
    found = (
        sa.select(_products.id, _products.store_id, _products.price, _products.currency, _products.stock)
        .where(with_key_in_array(_products.id), _products.deleted_at.is_(None))
        .order_by(_products.id)
        .with_for_update(key_share=True)
        .cte("found")
    )
    return Prepared(sa.select(customer.c.is_superuser, found).select_from(customer.outerjoin(found, sa.true())))


_TO_ORDER = _to_order()


async def customer_and_products(
    work: UnitOfWork, customer_id: UUID, keys: Sequence[UUID]
) -> tuple[Viewer | None, Mapping[UUID, Record]]:
    """Return the customer with their current rights, None if the account is deleted, and the products that can be
    ordered; all of them locked."""
    rows = await work.fetch(_TO_ORDER, viewer_id=customer_id, keys=keys)
    if not rows:
        return None, {}
    customer = Viewer(id=customer_id, is_superuser=rows[0].is_superuser)
    return customer, {row.id: row for row in rows if row.id is not None}


_NEW_ITEM: Mapping[str, Any] = {
    "id": sa.Uuid(),
    "product_id": sa.Uuid(),
    "store_id": sa.Uuid(),
    "quantity": sa.Integer(),
    "unit_price": sa.Numeric(12, 2),
    "currency": sa.Text(),
    "from_stock": sa.Boolean(),
}


def _placing() -> Prepared:
    """Return the statement that inserts an order and its items, takes their stock, and notifies of it."""
    arrays = (unforeseen(sa.bindparam(name, type_=ARRAY(type_))) for name, type_ in _NEW_ITEM.items())
    columns = (sa.column(name, type_) for name, type_ in _NEW_ITEM.items())
    new = sa.func.unnest(*arrays).table_valued(*columns).render_derived().alias("new")
    taken = (
        sa.update(Product)
        .where(_products.id == new.c.product_id, new.c.from_stock)
        .values(stock=_products.stock - new.c.quantity, version=_products.version + 1)
        .cte("taken")
    )
    order = {
        "id": sa.bindparam("order_id", type_=sa.Uuid()),
        "customer_id": sa.bindparam("customer_id", type_=sa.Uuid()),
    }
    placed = sa.insert(Order).values(order).returning(*columns_of(Order)).cte("placed")
    rows = sa.select(placed.c.id, *(new.c[name] for name in _NEW_ITEM))
    inserted = sa.insert(OrderItem).from_select(["order_id", *_NEW_ITEM], rows).cte("inserted")
    notified = sa.select(audit.INSERT.cte("audited").c.notified).scalar_subquery()
    return Prepared(sa.select(placed, notified.label("notified")).add_cte(taken, inserted))


_PLACE = _placing()


def note_placed(work: UnitOfWork, key: UUID, items: Sequence[Mapping[str, Any]]) -> None:
    """Note the events of an order with these items, for its stores and for followers of products with tracked stock."""
    events.note(work, (events.Event(events.Topic(PLACED, item["store_id"]), key) for item in items))
    events.note(work, events.updated("Product", (item["product_id"] for item in items if item["from_stock"])))


async def place(
    work: UnitOfWork, key: UUID, customer_id: UUID, items: Sequence[Mapping[str, Any]], entry: Mapping[str, Any]
) -> Record:
    """Insert an order with these items, take their stock, and return the order.

    The products are locked. It is one statement, including the entry in the audit trail: this is the mutation that a
    shop lives on, and each round trip takes a tenth of its time."""
    arrays = {name: [item[name] for item in items] for name in _NEW_ITEM if name != "id"}
    keys = [uuid7() for _ in items]
    (order,) = await work.fetch(_PLACE, order_id=key, customer_id=customer_id, id=keys, **arrays, **entry)
    return order


async def add_stock(session: AsyncSession, quantities: Mapping[UUID, int]) -> None:
    """Return units to the stock of the tracked products among these."""
    if not quantities:
        return
    keys, amounts = zip(*sorted(quantities.items()), strict=True)
    change = (
        sa.func.unnest(sa.literal(list(keys), ARRAY(sa.Uuid)), sa.literal(list(amounts), ARRAY(sa.Integer)))
        .table_valued(sa.column("id", sa.Uuid), sa.column("quantity", sa.Integer))
        .render_derived()
        .alias("change")
    )
    tracked = sa.update(Product).where(Product.id == change.c.id, Product.stock.is_not(None))
    await session.execute(
        tracked.values(stock=Product.stock + change.c.quantity, version=Product.version + 1),
        execution_options={"synchronize_session": False},
    )
    events.note(session, events.updated("Product", keys))


async def lock_products(session: AsyncSession, keys: Sequence[UUID]) -> None:
    """Lock the products in the order of their keys, as every operation locks them."""
    statement = sa.select(Product.id).where(Product.id.in_(keys)).order_by(Product.id)
    await session.execute(statement.with_for_update(key_share=True))


async def save(session: AsyncSession, *rows: Order | OrderItem) -> None:
    """Insert or update the order and items."""
    session.add_all(rows)
    await session.flush()
