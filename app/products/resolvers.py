"""The queries, mutations and subscriptions of products."""

from typing import Annotated, Any

import strawberry
from strawberry import UNSET

from app.db.notifications import Topic
from app.graphql.context import Info
from app.graphql.ids import key_of
from app.graphql.mutations import given, mutation
from app.graphql.relations.connections import Connection, Window, connection, paged
from app.graphql.relations.meaning import Lookup, Pages, in_sql
from app.graphql.subscriptions.manager import found, subscription
from app.products import repository, service
from app.products.types import (
    CreateProductInput,
    CreateProductResult,
    CreateProductsInput,
    CreateProductsResult,
    DeleteProductResult,
    Product,
    ProductBatch,
    ProductFilter,
    ProductOrder,
    RestoreProductResult,
    UpdateProductInput,
    UpdateProductResult,
)
from app.security.viewer import Access

ProductId = Annotated[strawberry.ID, strawberry.argument(description="The id of the product.")]


@strawberry.type
class ProductQueries:
    @strawberry.field(
        description="A product by id; null where there is none. A deleted one only for its owner and superusers.",
        metadata=in_sql(Lookup(repository.visible_by_key, lambda _, id: key_of("Product", "id", id))),
    )
    async def product(self, info: Info, id: ProductId) -> Product | None:
        return info.context.seen(await info.context.loaders.visible_product.load(key_of("Product", "id", id)))

    @paged(
        "All products, the oldest first unless told otherwise; without deleted ones.",
        Pages(repository.choose, lambda _, criteria: repository.listing(criteria)),
    )
    def products(
        self,
        info: Info,
        window: Window,
        filter: Annotated[ProductFilter | None, strawberry.argument(description="Only products like this.")] = UNSET,
        order_by: Annotated[
            ProductOrder | None,
            strawberry.argument(description="In this order; without it the best match of a search comes first."),
        ] = UNSET,
    ) -> Connection[Product]:
        criteria, ordering = repository.choose(filter, order_by)
        page = window.on(ordering(criteria))
        return connection(info.context.work, repository.listing(criteria), page, Product.from_row)


@strawberry.type
class ProductMutations:
    @mutation(Access.LOGGED_IN, "Add a product to a store of yours, or to any if you are a superuser.")
    async def create_product(
        self,
        info: Info,
        input: Annotated[dict[str, Any], given(CreateProductInput, "The new product.")],
    ) -> CreateProductResult:
        context, store_id = info.context, key_of("Store", "input.storeId", input.pop("storeId"))
        return Product.from_row(await service.create_product(context.session, context.known_viewer(), store_id, input))

    @mutation(
        Access.LOGGED_IN,
        "Add up to 1,000 products to a store of yours, or to any if you are a superuser: all of them or none.",
    )
    async def create_products(
        self,
        info: Info,
        input: Annotated[dict[str, Any], given(CreateProductsInput, "The new products.")],
    ) -> CreateProductsResult:
        context, store_id = info.context, key_of("Store", "input.storeId", input.pop("storeId"))
        products = await service.create_products(context.session, context.known_viewer(), store_id, input)
        return ProductBatch(products=[Product.from_row(product) for product in products])

    @mutation(Access.LOGGED_IN, "Change a product of a store of yours, or any if you are a superuser.")
    async def update_product(
        self,
        info: Info,
        input: Annotated[dict[str, Any], given(UpdateProductInput, "What to change.")],
    ) -> UpdateProductResult:
        context, key = info.context, key_of("Product", "input.id", input.pop("id"))
        expected = input.pop("expectedVersion", None)
        return Product.from_row(
            await service.update_product(context.session, context.known_viewer(), key, input, expected)
        )

    @mutation(
        Access.LOGGED_IN,
        "Take a product of a store of yours, or any if you are a superuser, out of the catalogue. Orders of it stay as"
        " they are. `restoreProduct` brings it back.",
    )
    async def delete_product(self, info: Info, id: ProductId) -> DeleteProductResult:
        context, key = info.context, key_of("Product", "id", id)
        return Product.from_row(await service.delete_product(context.session, context.known_viewer(), key))

    @mutation(
        Access.LOGGED_IN,
        "Put a deleted product of a store of yours, or any if you are a superuser, back into the catalogue. NotFound"
        " while its store is deleted.",
    )
    async def restore_product(self, info: Info, id: ProductId) -> RestoreProductResult:
        context, key = info.context, key_of("Product", "id", id)
        return Product.from_row(await service.restore_product(context.session, context.known_viewer(), key))


@strawberry.type
class ProductSubscriptions:
    @subscription(
        Access.ANYONE,
        "A product: as it is now, and after each change, also of its stock. It ends when that is deleted.",
        read_by="product",
    )
    async def product_updated(self, info: Info, product_id: ProductId) -> Product:
        context, key = info.context, key_of("Product", "productId", product_id)
        context.follow(Topic("Product", key), has_state=True)
        return found("product", context.seen(await context.loaders.visible_product.load(key)))
