"""What clients send about products."""

from enum import Enum
from typing import Annotated

from pydantic import Field

from app.inputs import (
    DecimalRange,
    Filter,
    Input,
    Line,
    Paragraphs,
    Price,
    ProductId,
    SearchText,
    Sort,
    Stock,
    StoreId,
    Update,
    optional,
    required,
)

MAX_BATCH = 1_000


class NewProductInput(Input):
    """One product of a batch."""

    name: Line = required("Name of the product, 1 to 200 characters. Must be unique within the store.")
    price: Price = required(
        "Price of one unit in the store's currency: 0 to 9,999,999,999.99, with at most two decimal places."
    )
    description: Paragraphs | None = optional(
        "Description of the product, 1 to 10,000 characters. May contain line breaks."
    )
    stock: Stock | None = optional(
        "Number of units in stock, 0 to 1,000,000,000. Omitted or null: stock isn't tracked and the product never "
        "sells out."
    )


class CreateProductInput(NewProductInput):
    """A product to add to a store."""

    store_id: StoreId = required("ID of the store. You must own it or be a superuser.")


class CreateProductsInput(Input):
    """Products to add to one store. Either all of them are added or none."""

    store_id: StoreId = required("ID of the store. You must own it or be a superuser.")
    products: Annotated[list[NewProductInput], Field(min_length=1, max_length=MAX_BATCH)] = required(
        "1 to 1,000 products."
    )


class UpdateProductInput(Update):
    """Changes to a product. Omitted fields keep their value. Null is rejected unless stated otherwise."""

    id: ProductId = required("ID of the product to update.")
    name: Line = optional("New name, 1 to 200 characters. Must be unique within the store.")
    price: Price = optional(
        "New price in the store's currency, 0 to 9,999,999,999.99, with at most two decimal places. Existing orders "
        "keep their price."
    )
    description: Paragraphs | None = optional("New description, up to 10,000 characters. Null removes it.")
    stock: Stock | None = optional("New number of units in stock, 0 to 1,000,000,000. Null stops tracking stock.")


class ProductFilter(Filter):
    """Filters for products. All fields must match; omitted or null fields are ignored."""

    search: SearchText = optional(
        "Words to find in the name or description. Every word must match the beginning of a word, ignoring case and "
        "accents."
    )
    store_id: StoreId | None = optional("Products of this store.")
    price: DecimalRange | None = optional(
        "Products with a price in this range. Compares the number, ignoring the currency."
    )
    in_stock: bool | None = optional("true: available only; false: sold out only.")


class ProductOrderField(Enum):
    """The fields that products can be sorted by."""

    NAME = "NAME"
    PRICE = "PRICE"
    CREATED_AT = "CREATED_AT"


class ProductOrder(Sort):
    """How to sort products."""

    field: ProductOrderField = required("The field to sort by.")
