"""Stores as GraphQL shows them."""

from datetime import datetime
from typing import Annotated

import strawberry

from app.db import models
from app.graphql import lazy
from app.graphql.enums import describe_enum
from app.graphql.failures import Conflict, InvalidInput, NotFound, StaleVersion, result
from app.graphql.node import Node, OfRow, node, shows
from app.graphql.relations.connections import Connection, Edge
from app.graphql.relations.fields import column, edge, identifier, itself, pages, reference
from app.inputs import CountryCode, CurrencyCode
from app.orders import repository as orders
from app.products import repository as products
from app.security.viewer import is_self_or_superuser
from app.stores import repository
from app.stores.inputs import StoreSortField
from app.users import repository as users


@node(models.Store, repository.visible_by_key, "A store that sells products, all priced in its currency.")
class Store(Node):
    name: str = column(models.Store.name, "Name of the store, unique among its owner's stores.")
    street: str = column(models.Store.street, "Street address.")
    postcode: str = column(models.Store.postcode, "Postal code. Empty if the address has none.")
    city: str = column(models.Store.city, "City or town.")
    country: CountryCode = column(models.Store.country, "ISO 3166-1 alpha-2 country code, such as `DE`.")
    currency: CurrencyCode = column(
        models.Store.currency, "ISO 4217 currency code of all the store's prices, such as `EUR`. It never changes."
    )
    domain: str | None = column(models.Store.domain, "Domain name of the store's website, such as `shop.example.com`.")
    phone: str | None = column(models.Store.phone, "Phone number.")
    version: int = column(
        models.Store.version,
        "Version number, incremented by every change. Pass it as `expectedVersion` when you update the store.",
    )
    created_at: datetime = column(models.Store.created_at, "When the store was opened.")
    updated_at: datetime = column(models.Store.updated_at, "When the store was last changed.")
    deleted_at: datetime | None = column(models.Store.deleted_at, "When the store was deleted. Null if it is open.")
    owner: lazy.User | None = reference(
        models.Store.owner_id,
        "The user who owns the store. Null if the account was closed.",
        condition=users.not_closed,
    )
    products: Connection[lazy.Product] = pages(
        products.catalog,
        "Products of this store that aren't deleted, oldest first by default.",
        within=models.Product.store_id,
    )
    orders: Connection[lazy.StoreOrder] | None = pages(
        orders.of_store,
        "What customers ordered from this store, newest first by default. Null unless you own the store or are a "
        "superuser.",
        within=models.StoreOrder.store_id,
        visible=lambda viewer, store: is_self_or_superuser(viewer, store.owner_id),
    )


describe_enum(StoreSortField, NAME="Name, ignoring case and accents.", CREATED_AT="When the store was opened.")


@strawberry.type
class StorePayload(OfRow):
    store: Store | None = itself(models.Store, "The store.")
    store_edge: Edge[Store] | None = edge(repository.catalog, "The store as an item of `stores` in the default order.")


@shows(models.Store, "The store was opened.")
class CreateStoreSuccess(StorePayload):
    pass


@shows(models.Store, "The store was updated.")
class UpdateStoreSuccess(StorePayload):
    pass


@shows(models.Store, "The store and its products were deleted.")
class DeleteStoreSuccess(OfRow):
    store: Store | None = itself(models.Store, "The deleted store.")
    deleted_store_id: strawberry.ID | None = identifier("Store", "ID of the deleted store.")


@shows(models.Store, "The store was restored, with the products that were deleted with it.")
class RestoreStoreSuccess(StorePayload):
    pass


CreateStoreResult = Annotated[CreateStoreSuccess | Conflict | InvalidInput, result("createStore")]
UpdateStoreResult = Annotated[
    UpdateStoreSuccess | NotFound | Conflict | InvalidInput | StaleVersion, result("updateStore")
]
DeleteStoreResult = Annotated[DeleteStoreSuccess | NotFound, result("deleteStore")]
RestoreStoreResult = Annotated[RestoreStoreSuccess | NotFound | Conflict, result("restoreStore")]
