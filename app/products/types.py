"""Products as GraphQL shows them."""

from datetime import datetime
from typing import Annotated

import strawberry

from app.db import models
from app.graphql import lazy
from app.graphql.enums import describe_enum
from app.graphql.failures import Conflict, InvalidInput, NotFound, StaleVersion, result
from app.graphql.money import Money, money
from app.graphql.node import Node, node
from app.graphql.relations.fields import column, reference
from app.products import repository
from app.products.inputs import ProductOrderField


@node(models.Product, repository.visible_by_key, "A product sold by a store.")
class Product(Node):
    name: str = column(models.Product.name, "Name of the product, unique within its store.")
    description: str | None = column(models.Product.description, "Description of the product. May contain line breaks.")
    price: Money = money(
        models.Product.price, models.Product.currency, "Current price of one unit, in the store's currency."
    )
    stock: int | None = column(
        models.Product.stock, "Number of units in stock. Null if stock isn't tracked; the product never sells out."
    )
    version: int = column(
        models.Product.version,
        "Version number, incremented by every change. Pass it as `expectedVersion` when you update the product.",
    )
    created_at: datetime = column(models.Product.created_at, "When the product was added.")
    updated_at: datetime = column(models.Product.updated_at, "When the product was last changed.")
    deleted_at: datetime | None = column(
        models.Product.deleted_at, "When the product was deleted. Null if it is for sale."
    )
    store: lazy.Store = reference(models.Product.store_id, "The store that sells the product.")


describe_enum(
    ProductOrderField,
    NAME="Name, ignoring case and accents.",
    PRICE="Price, ignoring the currency.",
    CREATED_AT="When the product was added.",
)


@strawberry.type(description="The products added by `createProducts`.")
class ProductBatch:
    products: list[Product] = strawberry.field(description="The new products, in the order of the input.")


CreateProductResult = Annotated[Product | NotFound | Conflict | InvalidInput, result("createProduct")]
CreateProductsResult = Annotated[ProductBatch | NotFound | Conflict | InvalidInput, result("createProducts")]
UpdateProductResult = Annotated[Product | NotFound | Conflict | InvalidInput | StaleVersion, result("updateProduct")]
DeleteProductResult = Annotated[Product | NotFound, result("deleteProduct")]
RestoreProductResult = Annotated[Product | NotFound | Conflict, result("restoreProduct")]
