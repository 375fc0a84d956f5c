"""Rows for tests, put straight into the database; what a test does not name is made up."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any, TypeVar

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from app.currencies import in_currency
from app.db.models import (
    Base,
    Order,
    OrderItem,
    OrderStatus,
    Product,
    RefreshToken,
    Session,
    Store,
    StoreOrder,
    StoreOrderStatus,
    User,
)
from app.global_ids import global_id

# Of "correct horse", with the cheapest parameters: tests that log in must not wait for the hash.
PASSWORD = "correct horse"
PASSWORD_HASH = "$argon2id$v=19$m=8,t=1,p=1$GDX1hMyhi6gjKtVAxLI71A$uBOdyGm3PwvJEpblng3vrShkUkEeV7I1NI5pgI4P2Lg"

_STATUS_OF_PARTS = {
    OrderStatus.FULFILLED: StoreOrderStatus.FULFILLED,
    OrderStatus.CANCELLED: StoreOrderStatus.CANCELLED,
}

T = TypeVar("T", bound=Base)


def rows_with_session(user: User) -> list[Base]:
    """Return a user, and the session that the tokens of tests belong to, whose refresh token keeps a later login from
    deleting it; each row after those it refers to."""
    user.id, soon = user.id or uuid7(), datetime.now(UTC) + timedelta(days=1)
    return [
        user,
        Session(id=user.id, user_id=user.id),
        RefreshToken(session_id=user.id, token_hash=user.id.bytes, expires_at=soon),
    ]


class Market:
    """Adds users, stores, products and orders, and commits each as the session does."""

    def __init__(self, session: AsyncSession) -> None:
        self.session = session
        self._numbers = count(1)

    async def user(self, **values: Any) -> User:
        number = next(self._numbers)
        defaults = {"email": f"user{number}@example.com", "full_name": f"User {number}", "password_hash": PASSWORD_HASH}
        user = User(**{**defaults, **values})
        for row in rows_with_session(user):
            self.session.add(row)
            await self.session.flush()
        await self.session.commit()
        return user

    async def superuser(self, **values: Any) -> User:
        return await self.user(is_superuser=True, **values)

    async def store(self, owner: User | None = None, **values: Any) -> Store:
        owner = owner or await self.user()
        defaults = {
            "name": f"Store {next(self._numbers)}",
            "street": "Main Street 1",
            "postcode": "10115",
            "city": "Berlin",
            "country": "DE",
            "currency": "EUR",
        }
        return await self.add(Store(owner_id=owner.id, **{**defaults, **values}))

    async def product(self, store: Store | None = None, **values: Any) -> Product:
        store = store or await self.store()
        defaults = {"name": f"Product {next(self._numbers)}", "price": Decimal("10.00")}
        given = {**defaults, **values}
        price = in_currency(Decimal(given.pop("price")), store.currency)
        return await self.add(Product(store_id=store.id, currency=store.currency, price=price, **given))

    async def order(self, customer: User, *products: Product, quantity: int = 1, **values: Any) -> Order:
        """Place an order as it would have been placed; stock is not taken."""
        order = await self.add(Order(customer_id=customer.id, customer_name=customer.full_name, **values))
        for product in products:
            await self.item(order, product, quantity=quantity)
        return order

    async def item(
        self, order: Order, product: Product, *, quantity: int = 1, fulfilled_at: datetime | None = None
    ) -> OrderItem:
        part = await self._part(order, product)
        part.total += product.price * quantity
        return await self.add(
            OrderItem(
                order_id=order.id,
                store_order_id=part.id,
                product_id=product.id,
                product_name=product.name,
                store_id=product.store_id,
                quantity=quantity,
                unit_price=product.price,
                currency=product.currency,
                fulfilled_at=fulfilled_at,
            )
        )

    async def store_order(self, order: Order, store: Store) -> StoreOrder:
        """Return the part of an order that a store sells."""
        part = select(StoreOrder).where(StoreOrder.order_id == order.id, StoreOrder.store_id == store.id)
        return (await self.session.scalars(part)).one()

    async def _part(self, order: Order, product: Product) -> StoreOrder:
        """Return the part of an order that the product's store sells, which may be new."""
        part = select(StoreOrder).where(StoreOrder.order_id == order.id, StoreOrder.store_id == product.store_id)
        if found := await self.session.scalar(part):
            return found
        await self.reload(order)  # whose times may have been given in SQL
        return await self.add(
            StoreOrder(
                order_id=order.id,
                store_id=product.store_id,
                placed_at=order.placed_at,
                status=_STATUS_OF_PARTS.get(order.status, StoreOrderStatus.OPEN),
                total=Decimal(0),
                currency=product.currency,
                deleted_at=order.deleted_at,
            )
        )

    async def add(self, row: T) -> T:
        self.session.add(row)
        await self.session.commit()
        return row

    async def reload(self, row: T) -> T:
        """Return the row as it stands in the database now."""
        await self.session.refresh(row)
        return row


def gid(row: Base) -> str:
    """Return the global id of a row."""
    return global_id(type(row).__name__, row.id)
