"""The queries, mutations and subscriptions of products."""

from typing import Annotated

import strawberry

from app.events.catalog import Follow, Topic
from app.graphql.arguments import key_of
from app.graphql.context import Info
from app.graphql.mutations import mutation
from app.graphql.relations.connections import Connection
from app.graphql.relations.fields import lookup, pages
from app.graphql.subscriptions.fields import found, subscription
from app.products import repository, service
from app.products.inputs import (
    AdjustStockInput,
    CreateProductInput,
    CreateProductsInput,
    DeleteProductInput,
    RestoreProductInput,
    SetStockInput,
    UpdateProductInput,
    UpdateProductsInput,
)
from app.products.types import (
    AdjustStockResult,
    AdjustStockSuccess,
    CreateProductResult,
    CreateProductsResult,
    CreateProductsSuccess,
    CreateProductSuccess,
    DeleteProductResult,
    DeleteProductSuccess,
    Product,
    ProductUpdatedEvent,
    RestoreProductResult,
    RestoreProductSuccess,
    SetStockResult,
    SetStockSuccess,
    UpdateProductResult,
    UpdateProductsResult,
    UpdateProductsSuccess,
    UpdateProductSuccess,
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
    products: Connection[Product] | None = pages(
        repository.catalog, "All products that aren't deleted, oldest first by default."
    )


@strawberry.type
class ProductMutations:
    @mutation(Access.LOGGED_IN, "Adds a product to a store that you own. Superusers can add to any store.")
    async def create_product(self, info: Info, input: CreateProductInput) -> CreateProductResult | None:
        return CreateProductSuccess(row=await service.create_product(*info.context.acting(), input))

    @mutation(
        Access.LOGGED_IN,
        "Adds up to 1,000 products to a store that you own. Either all of them are added or none. Superusers can add "
        "to any store.",
    )
    async def create_products(self, info: Info, input: CreateProductsInput) -> CreateProductsResult | None:
        products = await service.create_products(*info.context.acting(), input)
        return CreateProductsSuccess(products=[Product(row=product) for product in products])

    @mutation(Access.LOGGED_IN, "Updates a product. For the store's owner and superusers.")
    async def update_product(self, info: Info, input: UpdateProductInput) -> UpdateProductResult | None:
        return UpdateProductSuccess(row=await service.update_product(*info.context.acting(), input))

    @mutation(
        Access.LOGGED_IN,
        "Updates up to 1,000 products. Either all of them are updated or none. For the stores' owners and superusers.",
    )
    async def update_products(self, info: Info, input: UpdateProductsInput) -> UpdateProductsResult | None:
        products = await service.update_products(*info.context.acting(), input)
        return UpdateProductsSuccess(products=[Product(row=product) for product in products])

    @mutation(
        Access.LOGGED_IN,
        "Adds units to a product's stock, or removes them, whatever was sold meanwhile. For the store's owner and "
        "superusers.",
    )
    async def adjust_stock(self, info: Info, input: AdjustStockInput) -> AdjustStockResult | None:
        return AdjustStockSuccess(row=await service.adjust_stock(*info.context.acting(), input))

    @mutation(
        Access.LOGGED_IN,
        "Sets a product's stock as counted, or stops tracking it. For the store's owner and superusers.",
    )
    async def set_stock(self, info: Info, input: SetStockInput) -> SetStockResult | None:
        return SetStockSuccess(row=await service.set_stock(*info.context.acting(), input))

    @mutation(
        Access.LOGGED_IN,
        "Removes a product from the catalog. Existing orders aren't affected. Undo it with `restoreProduct`. For the "
        "store's owner and superusers.",
    )
    async def delete_product(self, info: Info, input: DeleteProductInput) -> DeleteProductResult | None:
        return DeleteProductSuccess(row=await service.delete_product(*info.context.acting(), input.id))

    @mutation(
        Access.LOGGED_IN,
        "Returns a deleted product to the catalog. Returns `NotFound` while its store is deleted. For the store's "
        "owner and superusers.",
    )
    async def restore_product(self, info: Info, input: RestoreProductInput) -> RestoreProductResult | None:
        return RestoreProductSuccess(row=await service.restore_product(*info.context.acting(), input.id))


@strawberry.type
class ProductSubscriptions:
    @subscription(
        Access.ANYONE,
        "The current state of a product, then its state after each change, including its stock. Ends when the product "
        "is deleted.",
        state_of=Product,
        argument="productId",
        by_key=repository.present_by_key,
    )
    async def product_updated(self, info: Info, product_id: ProductId) -> ProductUpdatedEvent:
        context, key = info.context, key_of("Product", "productId", product_id)
        context.follow(Topic(Follow.PRODUCT, key), has_state=True)
        product: Product | None = await context.loaders.node("Product").load(key)
        row = found("product", product).row
        return ProductUpdatedEvent(row=found("product", row if row.deleted_at is None else None))
