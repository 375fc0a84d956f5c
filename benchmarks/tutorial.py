"""A server as most tutorials build it: Strawberry types over SQLAlchemy entities, dataloaders by primary key,
FastAPI's GraphQLRouter, and a session per request. Its schema is as simple as possible: lists, UUIDs, strings."""

import os
from collections.abc import AsyncIterator, Hashable, Sequence
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Self, TypeVar
from uuid import UUID

import jwt
import strawberry
import uvicorn
from fastapi import Depends, FastAPI, Request
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from strawberry.dataloader import DataLoader
from strawberry.fastapi import GraphQLRouter

from app.db import models
from app.process.supervisor import end_with_parent

Entity = TypeVar("Entity", bound=models.Base)
Key = TypeVar("Key", bound=Hashable)


@strawberry.type
class Store:
    """A shop."""

    id: UUID
    name: str
    city: str
    currency: str

    @strawberry.field
    async def products(self, info: strawberry.Info, first: int) -> list["Product"]:
        """What it sells."""
        products: list[Product] = await info.context["products_of_store"].load((self.id, first))
        return products

    @classmethod
    def of(cls, store: models.Store) -> Self:
        """Convert an entity."""
        return cls(id=store.id, name=store.name, city=store.city, currency=store.currency)


@strawberry.type
class Product:
    """Something a store sells."""

    id: UUID
    name: str
    price: str
    currency: str
    store_id: strawberry.Private[UUID]

    @strawberry.field
    async def store(self, info: strawberry.Info) -> Store:
        """Who sells it."""
        return Store.of(await info.context["store"].load(self.store_id))

    @classmethod
    def of(cls, product: models.Product) -> Self:
        """Convert an entity."""
        return cls(
            id=product.id,
            name=product.name,
            price=str(product.price),
            currency=product.currency,
            store_id=product.store_id,
        )


@strawberry.type
class OrderItem:
    """A product in an order."""

    quantity: int
    product_id: strawberry.Private[UUID]

    @strawberry.field
    async def product(self, info: strawberry.Info) -> Product:
        """What was ordered."""
        return Product.of(await info.context["product"].load(self.product_id))


@strawberry.type
class Order:
    """What a customer ordered."""

    id: UUID
    placed_at: datetime

    @strawberry.field
    async def items(self, info: strawberry.Info) -> list[OrderItem]:
        """What was ordered."""
        items = await info.context["items"].load(self.id)
        return [OrderItem(quantity=item.quantity, product_id=item.product_id) for item in items]

    @classmethod
    def of(cls, order: models.Order) -> Self:
        """Convert an entity."""
        return cls(id=order.id, placed_at=order.placed_at)


@strawberry.type
class Query:
    """The queries."""

    @strawberry.field
    async def products(self, info: strawberry.Info, first: int) -> list[Product]:
        """All products, the oldest first."""
        statement = select(models.Product).where(models.Product.deleted_at.is_(None)).order_by(models.Product.id)
        return [Product.of(product) for product in await info.context["session"].scalars(statement.limit(first))]

    @strawberry.field
    async def stores(self, info: strawberry.Info, first: int) -> list[Store]:
        """All stores, the oldest first."""
        statement = select(models.Store).where(models.Store.deleted_at.is_(None)).order_by(models.Store.id)
        return [Store.of(store) for store in await info.context["session"].scalars(statement.limit(first))]

    @strawberry.field
    async def orders(self, info: strawberry.Info, first: int) -> list[Order]:
        """All orders, the latest first."""
        statement = select(models.Order).where(models.Order.deleted_at.is_(None))
        latest = statement.order_by(models.Order.placed_at.desc(), models.Order.id.desc()).limit(first)
        return [Order.of(order) for order in await info.context["session"].scalars(latest)]

    @strawberry.field
    async def order(self, info: strawberry.Info, id: UUID) -> Order | None:
        """An order by id."""
        order = await info.context["session"].get(models.Order, id)
        return None if order is None else Order.of(order)


@strawberry.type
class Mutation:
    """The mutations."""

    @strawberry.mutation
    async def place_order(self, info: strawberry.Info, product_ids: list[UUID]) -> Order:
        """Order one of each product."""
        session: AsyncSession = info.context["session"]
        found = await session.scalars(select(models.Product).where(models.Product.id.in_(product_ids)))
        products = {product.id: product for product in found}
        customer = await session.get_one(models.User, UUID(info.context["claims"]["sub"]))
        order = models.Order(customer_id=customer.id, customer_name=customer.full_name)
        session.add(order)
        await session.flush()
        ordered = [products[key] for key in product_ids]
        parts = {store_id: _part(order, store_id, ordered) for store_id in {product.store_id for product in ordered}}
        session.add_all(parts.values())
        await session.flush()
        session.add_all(_item(order, parts[product.store_id], product) for product in ordered)
        await session.commit()
        return Order.of(order)


def _part(order: models.Order, store_id: UUID, ordered: Sequence[models.Product]) -> models.StoreOrder:
    own = [product for product in ordered if product.store_id == store_id]
    total = sum(product.price for product in own)
    return models.StoreOrder(order_id=order.id, store_id=store_id, total=total, currency=own[0].currency)


def _item(order: models.Order, part: models.StoreOrder, product: models.Product) -> models.OrderItem:
    return models.OrderItem(
        order_id=order.id,
        store_order_id=part.id,
        product_id=product.id,
        product_name=product.name,
        store_id=product.store_id,
        quantity=1,
        unit_price=product.price,
        currency=product.currency,
    )


async def _by_id(session: AsyncSession, model: type[Entity], keys: list[UUID]) -> Sequence[Entity | None]:
    found = {entity.id: entity for entity in await session.scalars(select(model).where(model.id.in_(keys)))}
    return [found.get(key) for key in keys]


async def _items(session: AsyncSession, keys: list[UUID]) -> list[list[models.OrderItem]]:
    lists: dict[UUID, list[models.OrderItem]] = {key: [] for key in keys}
    statement = select(models.OrderItem).where(models.OrderItem.order_id.in_(keys)).order_by(models.OrderItem.id)
    for item in await session.scalars(statement):
        lists[item.order_id].append(item)
    return [lists[key] for key in keys]


async def _products(session: AsyncSession, keys: list[tuple[UUID, int]]) -> list[list[Product]]:
    """Query one store at a time, as reading all products of all stores would cost far more."""
    lists = []
    for store_id, first in keys:
        of_store = select(models.Product).where(
            models.Product.store_id == store_id, models.Product.deleted_at.is_(None)
        )
        products = await session.scalars(of_store.order_by(models.Product.id).limit(first))
        lists.append([Product.of(product) for product in products])
    return lists


def create_app(database_url: str, secret_key: str) -> FastAPI:
    """Return the server."""
    engine = create_async_engine(database_url, pool_size=10, max_overflow=0)
    sessions = async_sessionmaker(engine, expire_on_commit=False)

    async def get_session() -> AsyncIterator[AsyncSession]:
        async with sessions() as session:
            yield session

    async def get_context(request: Request, session: Annotated[AsyncSession, Depends(get_session)]) -> dict[str, Any]:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        return {
            "session": session,
            "claims": jwt.decode(token, secret_key, algorithms=["HS256"]) if token else {},
            "store": DataLoader(partial(_by_id, session, models.Store)),
            "product": DataLoader(partial(_by_id, session, models.Product)),
            "items": DataLoader(partial(_items, session)),
            "products_of_store": DataLoader(partial(_products, session)),
        }

    app = FastAPI()
    app.include_router(GraphQLRouter(strawberry.Schema(Query, Mutation), context_getter=get_context), prefix="/graphql")
    return app


if __name__ == "__main__":
    end_with_parent(os.getppid())
    app = create_app(os.environ["DATABASE_URL"], os.environ["SECRET_KEY"])
    uvicorn.run(app, port=int(os.environ["PORT"]), access_log=False, log_level="warning", server_header=False)
