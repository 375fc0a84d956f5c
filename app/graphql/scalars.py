"""The scalars of the contract, each in the one format that every answer uses."""

import re
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

import strawberry
from strawberry.schema.types.scalar import DEFAULT_SCALAR_REGISTRY
from strawberry.types.scalar import ScalarDefinition

from app.currencies import MOST_DIGITS
from app.global_ids import GlobalId
from app.inputs import CountryCode, CurrencyCode

# RFC 3339, with ASCII digits and a `T` or `Z` of either case. A leap second is for datetime to refuse.
_DATE_TIME = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)?", re.ASCII | re.IGNORECASE
)
_DECIMAL = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_BEYOND_JSON = 2**63


def format_datetime(value: datetime) -> str:
    """Return ISO 8601 in UTC, always with six decimals of the second."""
    return value.astimezone(UTC).isoformat(timespec="microseconds")


def parse_datetime(value: Any) -> datetime:
    """Return the moment; ValueError if the text is not as in RFC 3339, or names no offset."""
    if not isinstance(value, str):
        raise ValueError("DateTime must be a string, such as 2026-01-31T12:00:00Z")
    found = _DATE_TIME.fullmatch(value)
    if found is not None and found[1] is None:
        raise ValueError("DateTime needs an offset, such as Z or +01:00")
    try:
        moment = datetime.fromisoformat(value.upper()) if found else None
    except ValueError:
        moment = None
    if moment is None:
        raise ValueError("DateTime must be as in RFC 3339, such as 2026-01-31T12:00:00Z")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("DateTime must be between the years 1 and 9999 in UTC") from None


def format_decimal(value: Decimal) -> str:
    """Return the number in full, without an exponent."""
    return format(value, "f")


def parse_decimal(value: Any) -> Decimal:
    """Return the number; ValueError for a float, which may have been rounded already, or what is no number."""
    if isinstance(value, float) and abs(value) >= _BEYOND_JSON:  # JSON readers round larger integers, ours included
        raise ValueError("Decimal must be a string if it is an integer of 64 bits or more")
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError('Decimal must be a string or an integer, such as "12.50"')
    if isinstance(value, str) and not _DECIMAL.fullmatch(value):
        raise ValueError('Decimal must be a number in digits 0 to 9, such as "12.50"')
    try:
        number = Decimal(value)
    except InvalidOperation:  # its exponent is too large
        number = Decimal("NaN")
    if not number.is_finite() or len(number.as_tuple().digits) > MOST_DIGITS or abs(number.adjusted()) > MOST_DIGITS:
        raise ValueError('Decimal must be a number of reasonable size, such as "12.50"')
    return number


DATE_TIME = strawberry.scalar(
    name="DateTime",
    description="A point in time: a date and time with a UTC offset, as in RFC 3339. Responses are always in UTC.",
    specified_by_url="https://datatracker.ietf.org/doc/html/rfc3339",
    serialize=format_datetime,
    parse_value=parse_datetime,
)
DECIMAL = strawberry.scalar(
    name="Decimal",
    description=(
        "An exact decimal number, serialized as a string so that clients don't round it. Accepts a string or an "
        "integer, never a float."
    ),
    specified_by_url="https://www.w3.org/TR/xmlschema11-2/#decimal",
    serialize=format_decimal,
    parse_value=parse_decimal,
)


def parse_text(value: Any) -> str:
    """Return the text; ValueError for anything else. What it may be is for the rule of its field to say."""
    if not isinstance(value, str):
        raise ValueError("must be a string")
    return value


CURRENCY_CODE = strawberry.scalar(
    name="CurrencyCode",
    description="A currency, as an alphabetic code of ISO 4217, such as `EUR`.",
    specified_by_url="https://www.iso.org/iso-4217-currency-codes.html",
    serialize=str,
    parse_value=parse_text,
)
COUNTRY_CODE = strawberry.scalar(
    name="CountryCode",
    description="A country, as a two-letter code of ISO 3166-1, such as `DE`.",
    specified_by_url="https://www.iso.org/iso-3166-country-codes.html",
    serialize=str,
    parse_value=parse_text,
)
_ID = DEFAULT_SCALAR_REGISTRY[strawberry.ID]
# Keys of rows are shown as global ids; an input takes them apart.
SCALARS: dict[object, ScalarDefinition] = {
    datetime: DATE_TIME,
    Decimal: DECIMAL,
    CurrencyCode: CURRENCY_CODE,
    CountryCode: COUNTRY_CODE,
    UUID: _ID,
    GlobalId: _ID,
}
