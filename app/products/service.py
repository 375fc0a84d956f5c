"""The rules of products."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from pydantic.alias_generators import to_camel
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import recording as audit
from app.db.models import Product, Store
from app.errors import Conflict, InvalidInput, NotFound
from app.inputs import repeated
from app.products import repository
from app.products.inputs import CreateProductInput, CreateProductsInput, UpdateProductInput
from app.security.viewer import Viewer, is_self_or_superuser
from app.stores import repository as stores
from app.stores.service import managed_store, require_manager


async def create_product(session: AsyncSession, viewer: Viewer, new: CreateProductInput) -> Product:
    """Add a product to a store that the viewer manages."""
    store = await managed_store(session, viewer, new.store_id, shared=True)
    product = Product(**_of_store(store), **new.given("store_id"))
    await repository.save(session, product)
    return product


async def create_products(session: AsyncSession, viewer: Viewer, new: CreateProductsInput) -> Sequence[Product]:
    """Add many products to a store, all or none; a failure names the index and field of each that is wrong."""
    store = await managed_store(session, viewer, new.store_id)  # not shared: no name may be taken meanwhile
    await _require_new_names(session, store, [product.name for product in new.products])
    rows = [{**_of_store(store), **product.model_dump()} for product in new.products]
    products = await repository.insert_all(session, rows)
    of_store = tuple(map(to_camel, _of_store(store)))
    for product, given in zip(products, new.products, strict=True):
        change = audit.Change("Product", product.id, (*of_store, *given.given_names()), is_new=True)
        audit.note(session, change)
    return products


async def _require_new_names(session: AsyncSession, store: Store, names: Sequence[str]) -> None:
    """Raise InvalidInput for names that are repeated, Conflict for the first that the store already has."""
    if issues := repeated(names, lambda index: ("products", str(index), "name")):
        raise InvalidInput(issues)
    taken = await repository.taken_names(session, store.id, names)
    for index, name in enumerate(names):
        if name in taken:
            raise Conflict(f"products.{index}.name", repository.NAME_TAKEN)


async def update_product(session: AsyncSession, viewer: Viewer, update: UpdateProductInput) -> Product:
    """Change a product; StaleVersion where it no longer has the expected version."""
    product = await _managed_product(session, viewer, update.id)
    update.apply(product)
    await repository.save(session, product)
    return product


async def delete_product(session: AsyncSession, viewer: Viewer, key: UUID) -> Product:
    """Remove a product from the catalog, at a moment of its own: those deleted with their store share the store's."""
    product = await _managed_product(session, viewer, key)
    product.deleted_at = await stores.this_moment(session)
    await repository.save(session, product)
    return product


async def restore_product(session: AsyncSession, viewer: Viewer, key: UUID) -> Product:
    """Return a deleted product to the catalog; NotFound while its store is deleted."""
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
    store = await stores.locked_store(session, repository.store_of(key), shared=True)
    product = await repository.locked_product(session, key)
    if store is None or product is None:
        raise NotFound("Product", key)
    return store, product


def _of_store(store: Store) -> dict[str, Any]:
    return {"store_id": store.id, "currency": store.currency}
