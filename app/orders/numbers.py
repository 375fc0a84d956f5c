"""Numbers of orders: short enough to read out over the phone, and random, so they reveal nothing about sales."""

import re
import secrets

_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's Base32: none is mistaken for another
_LENGTH = 8
_MISREAD = str.maketrans("OIL", "011")
_NOT_IN_NUMBERS = re.compile("[^0-9A-Z]")


def new_number() -> str:
    """Return a number, such as `7K3M-Q4XD`, that hardly any other order has. The database makes those of orders that
    processes of 1.0.0 place."""
    return number_of(secrets.token_bytes(_LENGTH))


def number_of(random: bytes) -> str:
    """Return the number that eight bytes stand for."""
    return _grouped("".join(_LETTERS[byte % len(_LETTERS)] for byte in random))


def normalized_number(text: str) -> str:
    """Return an order's number as it is stored, whatever way people write it: `7K3M-Q4XD` for `7k3m q4xd`."""
    return _grouped(_NOT_IN_NUMBERS.sub("", text.upper().translate(_MISREAD)))


def _grouped(characters: str) -> str:
    return f"{characters[:4]}-{characters[4:]}"
