"""Global ids: `Product_0197…`, the type's name and the row's key, readable in a URL and in a log."""

import re
from uuid import UUID

from strawberry import ID

from app.errors import BadUserInput

_KEY = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def global_id(type_name: str, key: UUID) -> ID:
    """Return the id that clients know a row by."""
    return ID(f"{type_name}_{key}")


def parse_global_id(argument: str, value: str) -> tuple[str, UUID]:
    """Return the type's name and the key; BadUserInput names the argument that is not a global id."""
    type_name, _, key = value.partition("_")
    if not _KEY.fullmatch(key):
        raise BadUserInput(argument, "is not an id of this API")
    return type_name, UUID(key)


def key_of(type_name: str, argument: str, value: str) -> UUID:
    """Return the key in a global id of this type; BadUserInput names the argument that is not one."""
    actual, key = parse_global_id(argument, value)
    if actual != type_name:
        raise BadUserInput(argument, f"must be the id of a {type_name}")
    return key
