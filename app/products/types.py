"""Products as GraphQL shows them."""

from datetime import datetime
from typing import Annotated, Any, Self

import strawberry

from app.db import models
from app.graphql import lazy
from app.graphql.enums import describe_enum
from app.graphql.failures import Conflict, Error, InvalidInput, NotFound, StaleVersion, failure, result
from app.graphql.money import Money, money
from app.graphql.node import Node, OfRow, node, shows
from app.graphql.relations.connections import Edge
from app.graphql.relations.fields import column, edge, identifier, itself, reference
from app.products import errors, repository
from app.products.inputs import ProductSortField


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
        "Version number, incremented by every change except to the stock. Pass it as `expectedVersion` when you update "
        "the product.",
    )
    created_at: datetime = column(models.Product.created_at, "When the product was added.")
    updated_at: datetime = column(models.Product.updated_at, "When the product was last changed.")
    deleted_at: datetime | None = column(
        models.Product.deleted_at, "When the product was deleted. Null if it is for sale."
    )
    store: lazy.Store = reference(models.Product.store_id, "The store that sells the product.")


describe_enum(
    ProductSortField,
    NAME="Name, ignoring case and accents.",
    PRICE="Price, ignoring the currency.",
    CREATED_AT="When the product was added.",
)


@strawberry.type
class ProductPayload(OfRow):
    product: Product | None = itself(models.Product, "The product.")
    product_edge: Edge[Product] | None = edge(
        repository.catalog, "The product as an item of `products` in the default order."
    )


@shows(models.Product, "The product was added.")
class CreateProductSuccess(ProductPayload):
    pass


@strawberry.type
class ProductsPayload:
    products: list[Product] | None = strawberry.field(description="The products, in the order of the input.")

    @strawberry.field(description="The products as items of `products` in the default order.")
    def product_edges(self) -> list[Edge[Product]] | None:
        cursor_of = repository.catalog.default_ordering.cursor_of
        return [Edge(cursor=cursor_of(product.row), node=product) for product in self.products or ()]


@strawberry.type(description="The products were added.")
class CreateProductsSuccess(ProductsPayload):
    pass


@shows(models.Product, "The product was updated.")
class UpdateProductSuccess(ProductPayload):
    pass


@strawberry.type(description="The products were updated.")
class UpdateProductsSuccess(ProductsPayload):
    pass


@shows(models.Product, "The stock was adjusted.")
class AdjustStockSuccess(ProductPayload):
    pass


@shows(models.Product, "The stock was set.")
class SetStockSuccess(ProductPayload):
    pass


@failure(errors.StaleStock, "The stock has changed since you read it. Nothing was changed; count again.")
class StaleStock(Error):
    current_stock: int | None = strawberry.field(description="The stock now. Null if it isn't tracked.")
    current: Product = strawberry.field(description="The product as it is now.")

    @classmethod
    def of(cls, exception: Any) -> Self:
        """Return what shows the current stock."""
        current = Product(row=exception.current)
        return cls(message=exception.message, current_stock=exception.current_stock, current=current)


@shows(models.Product, "The product was deleted.")
class DeleteProductSuccess(OfRow):
    product: Product | None = itself(models.Product, "The deleted product.")
    deleted_product_id: strawberry.ID | None = identifier("Product", "ID of the deleted product.")


@shows(models.Product, "The product was returned to the catalog.")
class RestoreProductSuccess(ProductPayload):
    pass


CreateProductResult = Annotated[CreateProductSuccess | NotFound | Conflict | InvalidInput, result("createProduct")]
CreateProductsResult = Annotated[CreateProductsSuccess | NotFound | Conflict | InvalidInput, result("createProducts")]
UpdateProductResult = Annotated[
    UpdateProductSuccess | NotFound | Conflict | InvalidInput | StaleVersion, result("updateProduct")
]
UpdateProductsResult = Annotated[
    UpdateProductsSuccess | NotFound | Conflict | InvalidInput | StaleVersion, result("updateProducts")
]
AdjustStockResult = Annotated[AdjustStockSuccess | NotFound | InvalidInput, result("adjustStock")]
SetStockResult = Annotated[SetStockSuccess | NotFound | InvalidInput | StaleStock, result("setStock")]
DeleteProductResult = Annotated[DeleteProductSuccess | NotFound, result("deleteProduct")]
RestoreProductResult = Annotated[RestoreProductSuccess | NotFound | Conflict, result("restoreProduct")]


@shows(models.Product, "The current state of a product.")
class ProductUpdatedEvent(OfRow):
    product: Product = itself(models.Product, "The product as it is now.")
