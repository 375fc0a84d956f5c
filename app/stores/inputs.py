"""What clients send about stores."""

from enum import Enum

from pydantic import Field

from app.inputs import (
    AnyCountry,
    AnyCurrency,
    Country,
    Currency,
    Domain,
    Filter,
    Input,
    Line,
    Phone,
    Postcode,
    PostcodeIfNeeded,
    SearchText,
    Sort,
    StoreId,
    Update,
    optional,
    required,
)


class CreateStoreInput(Input):
    """A store to open. You become its owner."""

    name: Line = required("Name of the store, 1 to 255 characters. Must be unique among your stores.")
    street: Line = required("Street address, 1 to 255 characters.")
    city: Line = required("City or town, 1 to 255 characters.")
    country: Country = required("ISO 3166-1 alpha-2 country code, such as `DE`.")
    postcode: PostcodeIfNeeded = Field(
        default_factory=lambda: None,
        validate_default=True,  # once the country is known
        description=(
            "Postal code: letters and digits, with spaces, hyphens, points or slashes in between. May be null or "
            "omitted only where a country has none, such as Hong Kong, or needs none, such as Ireland."
        ),
    )
    currency: Currency = required("ISO 4217 currency code of all prices, such as `EUR`. It can't be changed later.")
    domain: Domain | None = optional("Domain name, such as `shop.example.com`. Must be unique among all stores.")
    phone: Phone | None = optional("Phone number, such as `+49 30 1234567`.")


class UpdateStoreInput(Update):
    """Changes to a store. Omitted fields keep their value. Null is rejected unless stated otherwise."""

    id: StoreId = required("ID of the store to update.")
    name: Line = optional("New name, 1 to 255 characters. Must be unique among the owner's stores.")
    street: Line = optional("New street address, 1 to 255 characters.")
    postcode: Postcode | None = optional("New postal code. Null removes it, where the country needs none.")
    city: Line = optional("New city or town, 1 to 255 characters.")
    country: Country = optional("New ISO 3166-1 alpha-2 country code, such as `DE`.")
    domain: Domain | None = optional("New domain name, unique among all stores. Null removes it.")
    phone: Phone | None = optional("New phone number. Null removes it.")


class DeleteStoreInput(Input):
    """A store to delete."""

    id: StoreId = required("ID of the store.")


class RestoreStoreInput(Input):
    """A deleted store to restore."""

    id: StoreId = required("ID of the store.")


class StoreFilter(Filter):
    """Filters for stores. All fields must match; omitted or null fields are ignored."""

    search: SearchText = optional(
        "Words to find in the name. Every word must match the beginning of a word, ignoring case and accents."
    )
    country: AnyCountry = optional("Stores in this country, as an ISO 3166-1 alpha-2 code.")
    city: SearchText = optional("Stores in this city or town, ignoring case and accents.")
    currency: AnyCurrency = optional("Stores with this currency, as an ISO 4217 code.")


class StoreSortField(Enum):
    """The fields that stores can be sorted by."""

    NAME = "NAME"
    CREATED_AT = "CREATED_AT"


class StoreSort(Sort):
    """How to sort stores."""

    field: StoreSortField = required("The field to sort by.")
