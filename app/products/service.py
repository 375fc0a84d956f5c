"""The rules of products."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from pydantic.alias_generators import to_camel
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import recording as audit
from app.db.models import Product, Store
from app.errors import Conflict, InputIssue, InputIssueCode, InvalidInput, NotFound
from app.inputs import MAX_STOCK, repeated
from app.products import repository
from app.products.errors import StaleStock
from app.products.inputs import (
    AdjustStockInput,
    CreateProductInput,
    CreateProductsInput,
    SetStockInput,
    UpdateProductInput,
    UpdateProductsInput,
)
from app.security.viewer import Viewer, is_self_or_superuser
from app.stores import repository as stores
from app.stores.service import managed_store, require_manager
from app.texts import name_key


async def create_product(session: AsyncSession, viewer: Viewer, new: CreateProductInput) -> Product:
    """Add a product to a store that the viewer manages."""
    store = await managed_store(session, viewer, new.store_id, shared=True)
    product = Product(**_of_store(store), **new.in_currency(store.currency).given("store_id"))
    await repository.save(session, product)
    return product


async def create_products(session: AsyncSession, viewer: Viewer, new: CreateProductsInput) -> Sequence[Product]:
    """Add many products to a store, all or none; a failure names the index and field of each that is wrong."""
    store = await managed_store(session, viewer, new.store_id)  # not shared: no name may be taken meanwhile
    new = new.in_currency(store.currency)
    await _require_new_names(session, store.id, {index: each.name for index, each in enumerate(new.products)})
    rows = [{**_of_store(store), **each.model_dump()} for each in new.products]
    products = await repository.insert_all(session, rows)
    of_store = tuple(map(to_camel, _of_store(store)))
    for product, given in zip(products, new.products, strict=True):
        change = audit.Change("Product", product.id, (*of_store, *given.given_names()), is_new=True)
        audit.note(session, change)
    return products


async def _require_new_names(
    session: AsyncSession, store_id: UUID, names: Mapping[int, str], *, of: Sequence[UUID] = ()
) -> None:
    """Raise InvalidInput for names, by their place in the input, that are repeated, and Conflict for the first that
    another product of the store has."""
    places = list(names)
    if issues := repeated(list(map(name_key, names.values())), lambda index: ("products", str(places[index]), "name")):
        raise InvalidInput(issues)
    taken = await repository.taken_names(session, store_id, names.values(), except_of=of)
    for index, name in names.items():
        if name_key(name) in taken:
            raise Conflict(("products", str(index), "name"), *repository.NAME_TAKEN)


async def update_product(session: AsyncSession, viewer: Viewer, update: UpdateProductInput) -> Product:
    """Change a product; StaleVersion where it no longer has the expected version."""
    product = await _managed_product(session, viewer, update.id)
    for name, value in update.in_currency(product.currency).changes_of(product).items():
        setattr(product, name, value)
    await repository.save(session, product)
    return product


async def update_products(session: AsyncSession, viewer: Viewer, update: UpdateProductsInput) -> Sequence[Product]:
    """Change many products, all or none; a failure names the index and field of what is wrong."""
    keys = [each.id for each in update.products]
    if issues := repeated(keys, lambda index: ("products", str(index), "id")):
        raise InvalidInput(issues)
    products = await _managed_products(session, viewer, keys)
    before = [products[key] for key in keys]
    changes = _changes(before, update.products)
    await _prepare_names(session, before, changes)
    rows = []
    for product, change in zip(before, changes, strict=True):
        row = _row(product)
        if fields := tuple(to_camel(name) for name, value in change.items() if value != row[name]):
            audit.note(session, audit.Change("Product", product.id, fields))
            rows.append({**row, **change})
    updated = await repository.update_all(session, rows) if rows else {}
    return [updated.get(product.id, product) for product in before]


def _changes(products: Sequence[Product], updates: Sequence[UpdateProductInput]) -> Sequence[Mapping[str, Any]]:
    """Return the columns that change of each product; InvalidInput names every price with too many decimals."""
    checked, issues = [], []
    for index, (product, update) in enumerate(zip(products, updates, strict=True)):
        try:
            checked.append(update.in_currency(product.currency))
        except InvalidInput as failure:
            issues += [replace(issue, path=("products", str(index), *issue.path)) for issue in failure.issues]
    if issues:
        raise InvalidInput(issues)
    return [update.changes_of(product) for product, update in zip(products, checked, strict=True)]


async def _prepare_names(
    session: AsyncSession, products: Sequence[Product], changes: Sequence[Mapping[str, Any]]
) -> None:
    """Raise InvalidInput or Conflict for new names that aren't unique in their store, and free those that the products
    pass on to one another."""
    renamed: dict[UUID, dict[int, str]] = defaultdict(dict)
    for index, change in enumerate(changes):
        if change.get("name", products[index].name) != products[index].name:
            renamed[products[index].store_id][index] = change["name"]
    passed_on = []
    for store_id, names in renamed.items():
        await _require_new_names(session, store_id, names, of=[products[index].id for index in names])
        new = set(map(name_key, names.values()))
        passed_on += [products[index].id for index in names if name_key(products[index].name) in new]
    if passed_on:
        await repository.free_names(session, passed_on)


async def adjust_stock(session: AsyncSession, viewer: Viewer, given: AdjustStockInput) -> Product:
    """Add units to the stock of a product, or remove them. InvalidInput if its stock isn't tracked, or would become
    negative or too large."""
    product = await _managed_product(session, viewer, given.product_id)
    if product.stock is None:
        raise _delta_issue(
            InputIssueCode.STOCK_NOT_TRACKED, "can't be applied because the product's stock isn't tracked"
        )
    stock = product.stock + given.delta
    if stock < 0:
        raise _delta_issue(
            InputIssueCode.TOO_SMALL, f"must be at least {-product.stock}, as the stock is {product.stock}"
        )
    if stock > MAX_STOCK:
        most = MAX_STOCK - product.stock
        raise _delta_issue(InputIssueCode.TOO_LARGE, f"must be at most {most}, as the stock is {product.stock}")
    return await _with_stock(session, product, stock)


async def set_stock(session: AsyncSession, viewer: Viewer, given: SetStockInput) -> Product:
    """Set the stock of a product; StaleStock if it isn't the expected one."""
    product = await _managed_product(session, viewer, given.product_id)
    if given.expects and given.expected_stock != product.stock:
        raise StaleStock(product)
    return await _with_stock(session, product, given.stock)


async def _with_stock(session: AsyncSession, product: Product, stock: int | None) -> Product:
    if stock != product.stock:
        await repository.set_stock(session, product, stock)
        audit.note(session, audit.Change("Product", product.id, ("stock",)))
    return product


def _delta_issue(code: InputIssueCode, message: str) -> InvalidInput:
    return InvalidInput([InputIssue(("delta",), code, message)])


def _row(product: Product) -> dict[str, Any]:
    """Return the columns of a product that can be changed, and its key."""
    return {name: getattr(product, name) for name in ("id", "name", "description", "price")}


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


async def _managed_products(session: AsyncSession, viewer: Viewer, keys: Sequence[UUID]) -> Mapping[UUID, Product]:
    """Return products of any stores by their keys, locked; NotFound or Forbidden for the first that can't change."""
    stores_by_key = await stores.locked_stores(session, repository.stores_of(keys))
    products = await repository.locked_products(session, keys)
    for key in keys:
        product = products.get(key)
        store = None if product is None else stores_by_key.get(product.store_id)
        if product is None or product.deleted_at is not None or store is None:
            raise NotFound("Product", key)
        require_manager(viewer, store.owner_id)
    return products


async def _locked(session: AsyncSession, key: UUID) -> tuple[Store, Product]:
    store = await stores.locked_store(session, repository.store_of(key), shared=True)
    product = await repository.locked_product(session, key)
    if store is None or product is None:
        raise NotFound("Product", key)
    return store, product


def _of_store(store: Store) -> dict[str, Any]:
    return {"store_id": store.id, "currency": store.currency}
