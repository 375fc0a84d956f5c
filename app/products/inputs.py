"""What clients send about products."""

from enum import Enum
from typing import Annotated

from pydantic import Field

from app.inputs import (
    MAX_STOCK,
    AnyCurrency,
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

    name: Line = required("Name of the product, 1 to 255 characters. Must be unique within the store.")
    price: Price = required(
        "Price of one unit in the store's currency: 0 to 9,999,999,999.99, with at most as many decimals as the "
        "currency has."
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
    name: Line = optional("New name, 1 to 255 characters. Must be unique within the store.")
    price: Price = optional(
        "New price in the store's currency, 0 to 9,999,999,999.99, with at most as many decimals as the currency. "
        "Existing orders keep their price."
    )
    description: Paragraphs | None = optional("New description, up to 10,000 characters. Null removes it.")


class UpdateProductsInput(Input):
    """Changes to several products. Either all of them are changed or none."""

    products: Annotated[list[UpdateProductInput], Field(min_length=1, max_length=MAX_BATCH)] = required(
        "1 to 1,000 changes, each to a different product."
    )


class AdjustStockInput(Input):
    """Units to add to a product's stock, or to remove from it."""

    product_id: ProductId = required("ID of the product. Its stock must be tracked.")
    delta: Annotated[int, Field(ge=-MAX_STOCK, le=MAX_STOCK)] = required(
        "Number of units to add; negative: to remove. The stock stays between 0 and 1,000,000,000."
    )


class SetStockInput(Input):
    """The counted stock of a product."""

    product_id: ProductId = required("ID of the product.")
    stock: Stock | None = required("Number of units in stock, 0 to 1,000,000,000. Required; null stops tracking stock.")
    expected_stock: Stock | None = optional(
        "The stock you last read; null if it wasn't tracked. If it isn't the current stock, nothing changes and the "
        "mutation returns `StaleStock`. Omitted: the current stock isn't checked."
    )

    @property
    def expects(self) -> bool:
        """Whether the stock is only set if it is still the expected one."""
        return "expected_stock" in self.model_fields_set


class DeleteProductInput(Input):
    """A product to remove from the catalog."""

    id: ProductId = required("ID of the product.")


class RestoreProductInput(Input):
    """A deleted product to return to the catalog."""

    id: ProductId = required("ID of the product.")


class ProductFilter(Filter):
    """Filters for products. All fields must match; omitted or null fields are ignored."""

    search: SearchText = optional(
        "Words to find in the name or description. Every word must match the beginning of a word, ignoring case and "
        "accents."
    )
    store_id: StoreId | None = optional("Products of this store.")
    price: DecimalRange | None = optional(
        "Products with a price in this range. Compares the number; combine it with `currency`."
    )
    currency: AnyCurrency = optional("Products priced in this currency, as an ISO 4217 code.")
    in_stock: bool | None = optional("true: available only; false: sold out only.")
    deleted: bool | None = optional(
        "true: deleted products only, of stores that you own; superusers find those of every store. Default: false."
    )


class ProductSortField(Enum):
    """The fields that products can be sorted by."""

    NAME = "NAME"
    PRICE = "PRICE"
    CREATED_AT = "CREATED_AT"


class ProductSort(Sort):
    """How to sort products."""

    field: ProductSortField = required("The field to sort by.")
