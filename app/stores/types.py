"""Stores as GraphQL shows them."""

from datetime import datetime
from enum import Enum
from typing import Annotated, Any, Self
from uuid import UUID

import strawberry
from sqlalchemy import Row
from strawberry import UNSET

from app.db import models
from app.db.pagination import Ordering
from app.graphql import lazy
from app.graphql.arguments import code, text
from app.graphql.context import Info
from app.graphql.enums import Direction, describe_enum
from app.graphql.errors import Conflict, InvalidInput, NotFound, StaleVersion
from app.graphql.ids import global_id
from app.graphql.node import Node
from app.graphql.relations.connections import (
    Connection,
    Window,
    empty_connection,
    paged,
)
from app.graphql.relations.fields import loaded
from app.graphql.relations.meaning import Pages, Reference
from app.orders import repository as orders
from app.products import repository as products
from app.security.viewer import is_self_or_superuser
from app.stores import repository


@strawberry.type(description="A shop. Its currency, in which all its products are priced, never changes.")
class Store(Node):
    key: strawberry.Private[UUID]
    owner_key: strawberry.Private[UUID]
    name: str = strawberry.field(description="The name of the shop.")
    street: str = strawberry.field(description="Street and number.")
    zipcode: str = strawberry.field(description="The postal code.")
    city: str = strawberry.field(description="The town.")
    country: str = strawberry.field(description="The country, ISO 3166-1 alpha-2, such as `DE`.")
    currency: str = strawberry.field(description="The currency of all its prices, ISO 4217, such as `EUR`.")
    domain: str | None = strawberry.field(description="Its domain on the web, such as `shop.example.com`.")
    phone: str | None = strawberry.field(description="Its telephone number.")
    version: int = strawberry.field(description="Goes up with every change; for `expectedVersion`.")
    created_at: datetime = strawberry.field(description="When it was opened.")
    updated_at: datetime = strawberry.field(description="When it was last changed.")
    deleted_at: datetime | None = strawberry.field(description="When it was deleted; null while it is open.")

    owner: lazy.User = loaded(
        lambda loaders, store: loaders.user.load(store.owner_key),
        "Who runs it.",
        Reference(models.User, lambda store: store.owner_id),
    )

    @paged(
        "What it sells, the oldest first unless told otherwise; without deleted ones.",
        Pages(products.choose, lambda _, criteria: products.listing(criteria), products.sold_by),
    )
    def products(
        self,
        info: Info,
        window: Window,
        filter: Annotated[
            lazy.ProductFilter | None, strawberry.argument(description="Only products like this.")
        ] = UNSET,
        order_by: Annotated[
            lazy.ProductOrder | None,
            strawberry.argument(description="In this order; without it the best match of a search comes first."),
        ] = UNSET,
    ) -> Connection[lazy.Product]:
        criteria, ordering = products.choose(filter, order_by)
        page = window.on(ordering(criteria))
        return info.context.loaders.products_of_store.connection(self.key, page, criteria)

    @paged(
        "Orders of its products, the latest first: for its owner and superusers; empty for anyone else.",
        Pages(
            orders.choose,
            orders.listing_of_stores,
            orders.placed_with,
            shown=lambda viewer, store: is_self_or_superuser(viewer, store.owner_id),
        ),
    )
    def orders(
        self,
        info: Info,
        window: Window,
        filter: Annotated[lazy.OrderFilter | None, strawberry.argument(description="Only orders like this.")] = UNSET,
    ) -> Connection[lazy.Order]:
        criteria, ordering = orders.choose(filter)
        page = window.on(ordering(criteria))
        if not info.context.shows(self.owner_key):
            return empty_connection(page)
        return info.context.loaders.orders_of_store.connection(self.key, page, criteria)

    @classmethod
    def from_row(cls, row: Row[Any] | models.Store) -> Self:
        """Make a store of a row or of an entity."""
        return cls(
            id=global_id("Store", row.id),
            key=row.id,
            owner_key=row.owner_id,
            name=row.name,
            street=row.street,
            zipcode=row.zipcode,
            city=row.city,
            country=row.country,
            currency=row.currency,
            domain=row.domain,
            phone=row.phone,
            version=row.version,
            created_at=row.created_at,
            updated_at=row.updated_at,
            deleted_at=row.deleted_at,
        )


class StoreOrderField(Enum):
    """What stores can be ordered by."""

    NAME = "NAME"
    CREATED_AT = "CREATED_AT"


describe_enum(
    StoreOrderField,
    "What stores can be ordered by.",
    NAME="By name, without regard to case and accents.",
    CREATED_AT="By when they were opened.",
)


@strawberry.input(description="In which order stores come.")
class StoreOrder:
    field: StoreOrderField = strawberry.field(description="What to order by.")
    direction: Direction = strawberry.field(default=Direction.ASC, description="Which end comes first.")

    def ordering(self, criteria: repository.StoreCriteria) -> Ordering:
        """Return the order as the repository knows it."""
        return repository.ordering(criteria, self.field.value, descending=self.direction is Direction.DESC)


@strawberry.input(description="Which stores; a field that is left out or null does not restrict.")
class StoreFilter:
    search: str | None = strawberry.field(
        default=UNSET,
        description="Words that the name must have, each as the beginning of a word; case and accents do not count.",
    )
    country: str | None = strawberry.field(default=UNSET, description="In this country, ISO 3166-1 alpha-2.")
    city: str | None = strawberry.field(default=UNSET, description="In this town; case and accents do not count.")
    currency: str | None = strawberry.field(default=UNSET, description="With this currency, ISO 4217.")

    def criteria(self) -> repository.StoreCriteria:
        """Return the filter as the repository knows it."""
        return repository.StoreCriteria(
            words=text("filter.search", self.search),
            country=code("filter.country", self.country),
            city=text("filter.city", self.city),
            currency=code("filter.currency", self.currency),
        )


@strawberry.input(description="A new store, which will be yours.")
class CreateStoreInput:
    name: str = strawberry.field(description="The name of the shop, in up to 200 characters; unique among your stores.")
    street: str = strawberry.field(description="Street and number.")
    zipcode: str = strawberry.field(description="The postal code.")
    city: str = strawberry.field(description="The town.")
    country: str = strawberry.field(description="The country, ISO 3166-1 alpha-2, such as `DE`.")
    currency: str = strawberry.field(description="The currency of all prices, ISO 4217. It never changes.")
    domain: str | None = strawberry.field(default=UNSET, description="Its domain, unique among all stores.")
    phone: str | None = strawberry.field(default=UNSET, description="Its telephone number.")


@strawberry.input(
    description="Changes to a store. A field that is left out stays as it is; null is refused unless it is told of."
)
class UpdateStoreInput:
    id: strawberry.ID = strawberry.field(description="The store to change.")
    name: str | None = strawberry.field(default=UNSET, description="The new name, unique among the owner's stores.")
    street: str | None = strawberry.field(default=UNSET, description="The new street and number.")
    zipcode: str | None = strawberry.field(default=UNSET, description="The new postal code.")
    city: str | None = strawberry.field(default=UNSET, description="The new town.")
    country: str | None = strawberry.field(default=UNSET, description="The new country, ISO 3166-1 alpha-2.")
    domain: str | None = strawberry.field(default=UNSET, description="The new domain; null clears it.")
    phone: str | None = strawberry.field(default=UNSET, description="The new telephone number; null clears it.")
    expected_version: int | None = strawberry.field(
        default=UNSET,
        description="Change nothing and answer StaleVersion unless it still has this version; null: whichever it has.",
    )


CreateStoreResult = Annotated[
    Store | Conflict | InvalidInput,
    strawberry.union("CreateStoreResult", description="What createStore may answer."),
]
UpdateStoreResult = Annotated[
    Store | NotFound | Conflict | InvalidInput | StaleVersion,
    strawberry.union("UpdateStoreResult", description="What updateStore may answer."),
]
DeleteStoreResult = Annotated[
    Store | NotFound, strawberry.union("DeleteStoreResult", description="What deleteStore may answer.")
]
RestoreStoreResult = Annotated[
    Store | NotFound | Conflict,
    strawberry.union("RestoreStoreResult", description="What restoreStore may answer."),
]
