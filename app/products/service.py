"""The rules of products."""

from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field
from pydantic.alias_generators import to_camel
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import recording as audit
from app.db.models import Product, Store
from app.errors import Conflict, InvalidInput, NotFound, StaleVersion
from app.products import repository
from app.security.viewer import Viewer, is_self_or_superuser
from app.stores.repository import locked_store
from app.stores.service import managed_store, require_manager
from app.validation import ABSENT, Input, Line, Paragraphs, Price, Stock, repeated

MAX_BATCH = 1_000


class NewProduct(Input):
    """The rules of createProduct."""

    name: Line
    price: Price
    description: Paragraphs | None = None
    stock: Stock | None = None


class NewProducts(Input):
    """The rules of createProducts."""

    products: Annotated[list[NewProduct], Field(min_length=1, max_length=MAX_BATCH)]


class ProductChanges(Input):
    """The rules of updateProduct; only description and stock can be cleared."""

    name: Line = ABSENT
    price: Price = ABSENT
    description: Paragraphs | None = None
    stock: Stock | None = None


async def create_product(session: AsyncSession, viewer: Viewer, store_id: UUID, given: dict[str, Any]) -> Product:
    """Add a product to a store that the viewer manages."""
    store = await managed_store(session, viewer, store_id, shared=True)
    product = Product(**_of_store(store), **NewProduct.check(given).changes())
    await repository.save(session, product)
    return product


async def create_products(
    session: AsyncSession, viewer: Viewer, store_id: UUID, given: dict[str, Any]
) -> Sequence[Product]:
    """Add many products to a store, all or none; a failure names the index and field of each that is wrong."""
    store = await managed_store(session, viewer, store_id)  # not shared: no name is taken while this looks
    new = NewProducts.check(given).products
    names = [product.name for product in new]
    if issues := repeated(names, lambda index: ("products", str(index), "name")):
        raise InvalidInput(issues)
    taken = await repository.taken_names(session, store_id, names)
    for index, name in enumerate(names):
        if name in taken:
            raise Conflict(f"products.{index}.name", "The store has a product of this name already.")
    products = await repository.insert_all(session, [{**_of_store(store), **product.model_dump()} for product in new])
    of_store = tuple(map(to_camel, _of_store(store)))
    for product, given_product in zip(products, new, strict=True):
        audit.note(
            session, audit.Change("Product", product.id, (*of_store, *given_product.given_fields()), is_new=True)
        )
    return products


async def update_product(
    session: AsyncSession, viewer: Viewer, key: UUID, given: dict[str, Any], expected_version: int | None
) -> Product:
    """Change a product; StaleVersion where it is no longer at the expected version."""
    product = await _managed_product(session, viewer, key)
    changes = ProductChanges.check(given).changes()
    if expected_version is not None and product.version != expected_version:
        raise StaleVersion(product.version)
    for name, value in changes.items():
        setattr(product, name, value)
    await repository.save(session, product)
    return product


async def delete_product(session: AsyncSession, viewer: Viewer, key: UUID) -> Product:
    """Take a product out of the catalogue."""
    product = await _managed_product(session, viewer, key)
    await repository.delete_product(session, product)
    return product


async def restore_product(session: AsyncSession, viewer: Viewer, key: UUID) -> Product:
    """Put a deleted product back into its store; NotFound while the store itself is deleted."""
    store, product = await _locked(session, key)
    if product.deleted_at is None:
        require_manager(viewer, store.owner_id)
    elif not is_self_or_superuser(viewer, store.owner_id):
        raise NotFound("Product", key)
    elif store.deleted_at is not None:
        raise NotFound("Store", store.id)
    else:
        product.deleted_at = None
        await repository.save(session, product)
    return product


async def _managed_product(session: AsyncSession, viewer: Viewer, key: UUID) -> Product:
    store, product = await _locked(session, key)
    if product.deleted_at is not None:
        raise NotFound("Product", key)
    require_manager(viewer, store.owner_id)
    return product


async def _locked(session: AsyncSession, key: UUID) -> tuple[Store, Product]:
    store = await locked_store(session, repository.store_of(key), shared=True)
    product = await repository.locked_product(session, key)
    if store is None or product is None:
        raise NotFound("Product", key)
    return store, product


def _of_store(store: Store) -> dict[str, Any]:
    return {"store_id": store.id, "currency": store.currency}
