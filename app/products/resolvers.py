"""The queries, mutations and subscriptions of products."""

from typing import Annotated

import strawberry

from app.db.notifications import Topic
from app.graphql.arguments import key_of
from app.graphql.context import Info
from app.graphql.mutations import mutation
from app.graphql.relations.connections import Connection
from app.graphql.relations.fields import lookup, pages
from app.graphql.subscriptions.fields import found, subscription
from app.products import repository, service
from app.products.inputs import CreateProductInput, CreateProductsInput, UpdateProductInput
from app.products.types import (
    CreateProductResult,
    CreateProductsResult,
    DeleteProductResult,
    Product,
    ProductBatch,
    RestoreProductResult,
    UpdateProductResult,
)
from app.security.viewer import Access

ProductId = Annotated[strawberry.ID, strawberry.argument(description="ID of the product.")]


@strawberry.type
class ProductQueries:
    product: Product | None = lookup(
        Product,
        "A product by its ID, or null if there is none. Deleted products are visible only to the store's owner and "
        "superusers.",
    )
    products: Connection[Product] = pages(
        repository.catalog, "All products that aren't deleted, oldest first by default."
    )


@strawberry.type
class ProductMutations:
    @mutation(Access.LOGGED_IN, "Adds a product to a store that you own. Superusers can add to any store.")
    async def create_product(self, info: Info, input: CreateProductInput) -> CreateProductResult:
        return Product(row=await service.create_product(*info.context.acting(), input))

    @mutation(
        Access.LOGGED_IN,
        "Adds up to 1,000 products to a store that you own. Either all of them are added or none. Superusers can add "
        "to any store.",
    )
    async def create_products(self, info: Info, input: CreateProductsInput) -> CreateProductsResult:
        products = await service.create_products(*info.context.acting(), input)
        return ProductBatch(products=[Product(row=product) for product in products])

    @mutation(Access.LOGGED_IN, "Updates a product. For the store's owner and superusers.")
    async def update_product(self, info: Info, input: UpdateProductInput) -> UpdateProductResult:
        return Product(row=await service.update_product(*info.context.acting(), input))

    @mutation(
        Access.LOGGED_IN,
        "Removes a product from the catalog. Existing orders aren't affected. Undo it with `restoreProduct`. For the "
        "store's owner and superusers.",
    )
    async def delete_product(self, info: Info, id: ProductId) -> DeleteProductResult:
        return Product(row=await service.delete_product(*info.context.acting(), key_of("Product", "id", id)))

    @mutation(
        Access.LOGGED_IN,
        "Returns a deleted product to the catalog. Returns `NotFound` while its store is deleted. For the store's "
        "owner and superusers.",
    )
    async def restore_product(self, info: Info, id: ProductId) -> RestoreProductResult:
        return Product(row=await service.restore_product(*info.context.acting(), key_of("Product", "id", id)))


@strawberry.type
class ProductSubscriptions:
    @subscription(
        Access.ANYONE,
        "The current state of a product, then its state after each change, including its stock. Ends when the product "
        "is deleted.",
        read_by="product",
    )
    async def product_updated(self, info: Info, product_id: ProductId) -> Product:
        context, key = info.context, key_of("Product", "productId", product_id)
        context.follow(Topic("Product", key), has_state=True)
        product: Product | None = context.seen(await context.loaders.node("Product").load(key))
        return found("product", product)
