"""Products as GraphQL shows them."""

from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Self
from uuid import UUID

import strawberry
from sqlalchemy import Row
from strawberry import UNSET

from app.db import models
from app.db.pagination import Ordering
from app.graphql import lazy
from app.graphql.arguments import or_none, text
from app.graphql.enums import Direction, describe_enum
from app.graphql.errors import Conflict, InvalidInput, NotFound, StaleVersion
from app.graphql.ids import global_id, optional_key_of
from app.graphql.money import Money
from app.graphql.node import Node
from app.graphql.relations.fields import loaded
from app.graphql.relations.meaning import Embedded, Reference, in_sql
from app.products import repository


@strawberry.type(description="Something that a store sells.")
class Product(Node):
    key: strawberry.Private[UUID]
    store_key: strawberry.Private[UUID]
    name: str = strawberry.field(description="What it is called; unique in its store.")
    description: str | None = strawberry.field(description="What there is to say about it.")
    price: Money = strawberry.field(
        description="What one costs now, in the currency of the store.",
        metadata=in_sql(Embedded(lambda product: {"amount": product.price, "currency": product.currency})),
    )
    stock: int | None = strawberry.field(description="How many are left; null: not tracked, never runs out.")
    version: int = strawberry.field(description="Goes up with every change; for `expectedVersion`.")
    created_at: datetime = strawberry.field(description="When it was added.")
    updated_at: datetime = strawberry.field(description="When it was last changed.")
    deleted_at: datetime | None = strawberry.field(description="When it was deleted; null while it is for sale.")

    store: lazy.Store = loaded(
        lambda loaders, product: loaders.store.load(product.store_key),
        "Who sells it.",
        Reference(models.Store, lambda product: product.store_id),
    )

    @classmethod
    def from_row(cls, row: Row[Any] | models.Product) -> Self:
        """Make a product of a row or of an entity."""
        return cls(
            id=global_id("Product", row.id),
            key=row.id,
            store_key=row.store_id,
            name=row.name,
            description=row.description,
            price=Money(amount=row.price, currency=row.currency),
            stock=row.stock,
            version=row.version,
            created_at=row.created_at,
            updated_at=row.updated_at,
            deleted_at=row.deleted_at,
        )


class ProductOrderField(Enum):
    """What products can be ordered by."""

    NAME = "NAME"
    PRICE = "PRICE"
    CREATED_AT = "CREATED_AT"


describe_enum(
    ProductOrderField,
    "What products can be ordered by.",
    NAME="By name, without regard to case and accents.",
    PRICE="By the number of the price, whatever its currency.",
    CREATED_AT="By when they were added.",
)


@strawberry.input(description="In which order products come.")
class ProductOrder:
    field: ProductOrderField = strawberry.field(description="What to order by.")
    direction: Direction = strawberry.field(default=Direction.ASC, description="Which end comes first.")

    def ordering(self, criteria: repository.ProductCriteria) -> Ordering:
        """Return the order as the repository knows it."""
        return repository.ordering(criteria, self.field.value, descending=self.direction is Direction.DESC)


@strawberry.input(description="From one number to another; a bound that is left out or null does not restrict.")
class DecimalRange:
    gte: Decimal | None = strawberry.field(default=UNSET, description="At least this.")
    lte: Decimal | None = strawberry.field(default=UNSET, description="At most this.")


@strawberry.input(description="Which products; a field that is left out or null does not restrict.")
class ProductFilter:
    search: str | None = strawberry.field(
        default=UNSET,
        description=(
            "Words that name or description must have, each as the beginning of a word; case and accents do not count."
        ),
    )
    store_id: strawberry.ID | None = strawberry.field(default=UNSET, description="Of this store.")
    price: DecimalRange | None = strawberry.field(
        default=UNSET, description="With a price in this range, whatever its currency."
    )
    in_stock: bool | None = strawberry.field(
        default=UNSET, description="True: that can be ordered now; false: that have run out."
    )

    def criteria(self) -> repository.ProductCriteria:
        """Return the filter as the repository knows it."""
        price = self.price or DecimalRange()
        return repository.ProductCriteria(
            words=text("filter.search", self.search),
            store_id=optional_key_of("Store", "filter.storeId", self.store_id),
            price_gte=or_none(price.gte),
            price_lte=or_none(price.lte),
            in_stock=or_none(self.in_stock),
        )


@strawberry.input(description="A new product among others.")
class NewProductInput:
    name: str = strawberry.field(description="What it is called, in up to 200 characters; unique in its store.")
    price: Decimal = strawberry.field(
        description="What one costs, in the currency of the store: 0 or more, with two decimals at most."
    )
    description: str | None = strawberry.field(
        default=UNSET, description="What there is to say about it, in up to 10,000 characters and any number of lines."
    )
    stock: int | None = strawberry.field(
        default=UNSET,
        description="How many there are, 0 to 1,000,000,000; left out or null: not tracked, never runs out.",
    )


@strawberry.input(description="A new product of a store.")
class CreateProductInput(NewProductInput):
    store_id: strawberry.ID = strawberry.field(description="The store, which must be yours.")


@strawberry.input(description="Many new products of one store, of which all are added or none.")
class CreateProductsInput:
    store_id: strawberry.ID = strawberry.field(description="The store, which must be yours.")
    products: list[NewProductInput] = strawberry.field(description="1 to 1,000 products.")


@strawberry.input(
    description="Changes to a product. A field that is left out stays as it is; null is refused unless it is told of."
)
class UpdateProductInput:
    id: strawberry.ID = strawberry.field(description="The product to change.")
    name: str | None = strawberry.field(default=UNSET, description="The new name, unique in its store.")
    price: Decimal | None = strawberry.field(default=UNSET, description="The new price; past orders keep theirs.")
    description: str | None = strawberry.field(default=UNSET, description="The new description; null clears it.")
    stock: int | None = strawberry.field(
        default=UNSET, description="How many there are now; null: not tracked any more."
    )
    expected_version: int | None = strawberry.field(
        default=UNSET,
        description="Change nothing and answer StaleVersion unless it still has this version; null: whichever it has.",
    )


@strawberry.type(description="The products that were added together.")
class ProductBatch:
    products: list[Product] = strawberry.field(description="The new products, in the order of the input.")


CreateProductResult = Annotated[
    Product | NotFound | Conflict | InvalidInput,
    strawberry.union("CreateProductResult", description="What createProduct may answer."),
]
CreateProductsResult = Annotated[
    ProductBatch | NotFound | Conflict | InvalidInput,
    strawberry.union("CreateProductsResult", description="What createProducts may answer."),
]
UpdateProductResult = Annotated[
    Product | NotFound | Conflict | InvalidInput | StaleVersion,
    strawberry.union("UpdateProductResult", description="What updateProduct may answer."),
]
DeleteProductResult = Annotated[
    Product | NotFound, strawberry.union("DeleteProductResult", description="What deleteProduct may answer.")
]
RestoreProductResult = Annotated[
    Product | NotFound | Conflict,
    strawberry.union("RestoreProductResult", description="What restoreProduct may answer."),
]
