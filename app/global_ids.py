"""Global ids: `Product_0197…`, the type's name and the row's key, readable in a URL and in a log."""

import re
from typing import NewType
from uuid import UUID

GlobalId = NewType("GlobalId", str)
"""The id of an object of any type."""

_GLOBAL_ID = re.compile(r"([A-Za-z]+)_([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")


def global_id(type_name: str, key: UUID) -> str:
    """Return the id by which clients know a row."""
    return f"{type_name}_{key}"


def key_in(type_name: str, value: str) -> UUID:
    """Return the key in a global id of this type; ValueError says what is wrong with it."""
    actual, key = split_global_id(value)
    if actual != type_name:
        raise ValueError(f"must be an ID of type {type_name}")
    return key


def split_global_id(value: str) -> tuple[str, UUID]:
    """Return the type's name and the key in a global id; ValueError if it isn't one."""
    found = _GLOBAL_ID.fullmatch(value)
    if found is None:
        raise ValueError("is not an ID of this API")
    return found[1], UUID(found[2])
