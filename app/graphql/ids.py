"""Global ids: `Product_0197…`, the type's name and the row's key, readable in a URL and in a log."""

import re
from uuid import UUID

from sqlalchemy import ColumnElement, Text, cast
from strawberry import ID

from app.errors import BadUserInput
from app.graphql.arguments import or_none

_GLOBAL_ID = re.compile(r"([A-Za-z]+)_([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")


def global_id(type_name: str, key: UUID) -> ID:
    """Return the id that clients know a row by."""
    return ID(f"{type_name}_{key}")


def global_id_in_sql(type_name: ColumnElement[str], key: ColumnElement[UUID]) -> ColumnElement[str]:
    """Return the id that clients know a row by, null where the key is."""
    return type_name.concat("_").concat(cast(key, Text))


def parse_global_id(argument: str, value: str) -> tuple[str, UUID]:
    """Return the type's name and the key; BadUserInput names the argument that is not a global id."""
    found = _GLOBAL_ID.fullmatch(value)
    if found is None:
        raise BadUserInput(argument, "is not an id of this API")
    return found[1], UUID(found[2])


def key_of(type_name: str, argument: str, value: str) -> UUID:
    """Return the key in a global id of this type; BadUserInput names the argument that is not one."""
    actual, key = parse_global_id(argument, value)
    if actual != type_name:
        raise BadUserInput(argument, f"must be the id of a {type_name}")
    return key


def optional_key_of(type_name: str, argument: str, value: str | None) -> UUID | None:
    """Return the key in an optional global id of this type, None where it is absent."""
    identifier = or_none(value)
    return None if identifier is None else key_of(type_name, argument, identifier)
