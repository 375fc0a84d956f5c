"""Arguments that are global ids, as resolvers use them."""

from collections.abc import Sequence
from uuid import UUID

from app.errors import BadUserInput
from app.global_ids import key_in, split_global_id


def parse_global_id(argument: Sequence[str], value: str) -> tuple[str, UUID]:
    """Return the type's name and the key in a global id; BadUserInput names the argument that isn't one."""
    try:
        return split_global_id(value)
    except ValueError as failure:
        raise BadUserInput(argument, str(failure)) from None


def key_of(type_name: str, argument: str, value: str) -> UUID:
    """Return the key in a global id of this type; BadUserInput names the argument that isn't one."""
    try:
        return key_in(type_name, value)
    except ValueError as failure:
        raise BadUserInput(argument, str(failure)) from None
