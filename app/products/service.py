"""The rules of products."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from app.audit import recording as audit
from app.db.models import Product
from app.db.statements import Record
from app.db.unit_of_work import UnitOfWork
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
from app.stores.service import managed_store, require_managed, require_manager
from app.texts import name_key


async def create_product(work: UnitOfWork, viewer: Viewer, new: CreateProductInput) -> Record:
    """Add a product to a store that the viewer manages."""
    store = require_managed(viewer, new.store_id, await stores.shared_store(work, new.store_id))
    return await repository.insert(work, {**_of_store(store), **new.in_currency(store.currency).given("store_id")})


async def create_products(work: UnitOfWork, viewer: Viewer, new: CreateProductsInput) -> Sequence[Record]:
    """Add many products to a store, all or none; a failure names the index and field of each that is wrong."""
    store = await managed_store(work, viewer, new.store_id)  # not shared: no name may be taken meanwhile
    new = new.in_currency(store.currency)
    await _require_new_names(work, store.id, {index: each.name for index, each in enumerate(new.products)})
    of_store = _of_store(store)
    products = await repository.insert_all(work, [{**of_store, **each.model_dump()} for each in new.products])
    for product, given in zip(products, new.products, strict=True):
        fields = audit.shown(Product, of_store.keys() | given.model_fields_set)
        audit.note(work, audit.Change("Product", product.id, fields, is_new=True, store_id=store.id))
    return products


async def _require_new_names(
    work: UnitOfWork, store_id: UUID, names: Mapping[int, str], *, of: Sequence[UUID] = ()
) -> None:
    """Raise InvalidInput for names, by their place in the input, that are repeated, and Conflict for the first that
    another product of the store has."""
    places = list(names)
    if issues := repeated(list(map(name_key, names.values())), lambda index: ("products", str(places[index]), "name")):
        raise InvalidInput(issues)
    taken = await repository.taken_names(work, store_id, names.values(), except_of=of)
    for index, name in names.items():
        if name_key(name) in taken:
            raise Conflict(("products", str(index), "name"), *repository.NAME_TAKEN)


async def update_product(work: UnitOfWork, viewer: Viewer, update: UpdateProductInput) -> Record:
    """Change a product; StaleVersion where it no longer has the expected version."""
    product = await _managed_product(work, viewer, update.id)
    changes = update.in_currency(product.currency).changes_of("Product", product)
    return await repository.update(work, product, changes)


async def update_products(work: UnitOfWork, viewer: Viewer, update: UpdateProductsInput) -> Sequence[Record]:
    """Change many products, all or none; a failure names the index and field of what is wrong."""
    keys = [each.id for each in update.products]
    if issues := repeated(keys, lambda index: ("products", str(index), "id")):
        raise InvalidInput(issues)
    products = await _managed_products(work, viewer, keys)
    before = [products[key] for key in keys]
    changes = _changes(before, update.products)
    await _prepare_names(work, before, changes)
    for product, change in zip(before, changes, strict=True):
        if change:
            fields = audit.shown(Product, change)
            audit.note(work, audit.Change("Product", product.id, fields, store_id=product.store_id))
    updated = await repository.update_each(work, _rows(before, changes))
    return [updated.get(product.id, product) for product in before]


def _rows(products: Sequence[Record], changes: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """Return those of the products that change, each with every attribute that any of them changes."""
    names = ("id", *sorted({name for change in changes for name in change}))
    return [
        {name: change[name] if name in change else product[name] for name in names}
        for product, change in zip(products, changes, strict=True)
        if change
    ]


def _changes(products: Sequence[Record], updates: Sequence[UpdateProductInput]) -> Sequence[Mapping[str, Any]]:
    """Return what changes of each product; InvalidInput names every price with too many decimals."""
    checked, issues = [], []
    for index, (product, update) in enumerate(zip(products, updates, strict=True)):
        try:
            checked.append(update.in_currency(product.currency))
        except InvalidInput as failure:
            issues += [replace(issue, path=("products", str(index), *issue.path)) for issue in failure.issues]
    if issues:
        raise InvalidInput(issues)
    pairs = zip(products, checked, strict=True)
    return [audit.changed(product, update.changes_of("Product", product)) for product, update in pairs]


async def _prepare_names(work: UnitOfWork, products: Sequence[Record], changes: Sequence[Mapping[str, Any]]) -> None:
    """Raise InvalidInput or Conflict for new names that aren't unique in their store, and free those that the products
    pass on to one another."""
    renamed: dict[UUID, dict[int, str]] = defaultdict(dict)
    for index, change in enumerate(changes):
        if "name" in change:
            renamed[products[index].store_id][index] = change["name"]
    passed_on = []
    for store_id, names in renamed.items():
        await _require_new_names(work, store_id, names, of=[products[index].id for index in names])
        new = set(map(name_key, names.values()))
        passed_on += [products[index].id for index in names if name_key(products[index].name) in new]
    if passed_on:
        await repository.free_names(work, passed_on)


async def adjust_stock(work: UnitOfWork, viewer: Viewer, given: AdjustStockInput) -> Record:
    """Add units to the stock of a product, or remove them. InvalidInput if its stock isn't tracked, or would become
    negative or too large."""
    product = await _managed_product(work, viewer, given.product_id)
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
    return await _with_stock(work, product, stock)


async def set_stock(work: UnitOfWork, viewer: Viewer, given: SetStockInput) -> Record:
    """Set the stock of a product; StaleStock if it isn't the expected one."""
    product = await _managed_product(work, viewer, given.product_id)
    if given.expects and given.expected_stock != product.stock:
        raise StaleStock(product)
    return await _with_stock(work, product, given.stock)


async def _with_stock(work: UnitOfWork, product: Record, stock: int | None) -> Record:
    if stock == product.stock:
        return product
    audit.note(work, audit.Change("Product", product.id, ("stock",), store_id=product.store_id))
    return await repository.set_stock(work, product.id, stock)


def _delta_issue(code: InputIssueCode, message: str) -> InvalidInput:
    return InvalidInput([InputIssue(("delta",), code, message)])


async def delete_product(work: UnitOfWork, viewer: Viewer, key: UUID) -> Record:
    """Remove a product from the catalog, at a moment of its own: those deleted with their store share the store's."""
    product = await _managed_product(work, viewer, key)
    return await repository.update(work, product, {"deleted_at": await stores.this_moment(work)})


async def restore_product(work: UnitOfWork, viewer: Viewer, key: UUID) -> Record:
    """Return a deleted product to the catalog; NotFound while its store is deleted."""
    store, product = await _locked(work, key)
    if product.deleted_at is None:
        require_manager(viewer, store.owner_id)
        return product
    if not is_self_or_superuser(viewer, store.owner_id):
        raise NotFound("Product", key)
    if store.deleted_at is not None:
        raise NotFound("Store", store.id)
    return await repository.update(work, product, {"deleted_at": None})


async def _managed_product(work: UnitOfWork, viewer: Viewer, key: UUID) -> Record:
    store, product = await _locked(work, key)
    if product.deleted_at is not None:
        raise NotFound("Product", key)
    require_manager(viewer, store.owner_id)
    return product


async def _managed_products(work: UnitOfWork, viewer: Viewer, keys: Sequence[UUID]) -> Mapping[UUID, Record]:
    """Return products of any stores by their keys, locked; NotFound or Forbidden for the first that can't change."""
    stores_by_key = await stores.locked_stores_of(work, keys)
    products = await repository.locked_products(work, keys)
    for key in keys:
        product = products.get(key)
        store = None if product is None else stores_by_key.get(product.store_id)
        if product is None or product.deleted_at is not None or store is None:
            raise NotFound("Product", key)
        require_manager(viewer, store.owner_id)
    return products


async def _locked(work: UnitOfWork, key: UUID) -> tuple[Record, Record]:
    store = await stores.shared_store_of(work, key)
    product = await repository.locked_product(work, key)
    if store is None or product is None:
        raise NotFound("Product", key)
    return store, product


def _of_store(store: Record) -> dict[str, Any]:
    return {"store_id": store.id, "currency": store.currency}
