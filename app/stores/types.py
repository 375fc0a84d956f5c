"""Stores as GraphQL shows them."""

from datetime import datetime
from typing import Annotated

from app.db import models
from app.graphql import lazy
from app.graphql.enums import describe_enum
from app.graphql.failures import Conflict, InvalidInput, NotFound, StaleVersion, result
from app.graphql.node import Node, node
from app.graphql.relations.connections import Connection
from app.graphql.relations.fields import column, pages, reference
from app.orders import repository as orders
from app.products import repository as products
from app.security.viewer import is_self_or_superuser
from app.stores import repository
from app.stores.inputs import StoreOrderField


@node(models.Store, repository.visible_by_key, "A store that sells products, all priced in its currency.")
class Store(Node):
    name: str = column(models.Store.name, "Name of the store, unique among its owner's stores.")
    street: str = column(models.Store.street, "Street address.")
    zipcode: str = column(models.Store.zipcode, "Postal code.")
    city: str = column(models.Store.city, "City or town.")
    country: str = column(models.Store.country, "ISO 3166-1 alpha-2 country code, such as `DE`.")
    currency: str = column(
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
    owner: lazy.User = reference(models.Store.owner_id, "The user who owns the store.")
    products: Connection[lazy.Product] = pages(
        products.catalog,
        "Products of this store that aren't deleted, oldest first by default.",
        within=models.Product.store_id,
    )
    orders: Connection[lazy.Order] = pages(
        orders.of_stores,
        "Orders with items of this store, newest first. Visible to its owner and superusers; empty for everyone else.",
        within=orders.placed_with,
        visible=lambda viewer, store: is_self_or_superuser(viewer, store.owner_id),
        arguments=("filter",),
    )


describe_enum(StoreOrderField, NAME="Name, ignoring case and accents.", CREATED_AT="When the store was opened.")

CreateStoreResult = Annotated[Store | Conflict | InvalidInput, result("createStore")]
UpdateStoreResult = Annotated[Store | NotFound | Conflict | InvalidInput | StaleVersion, result("updateStore")]
DeleteStoreResult = Annotated[Store | NotFound, result("deleteStore")]
RestoreStoreResult = Annotated[Store | NotFound | Conflict, result("restoreStore")]
