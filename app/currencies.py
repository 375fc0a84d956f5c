"""Amounts of money, which have as many decimals as their currency."""

from decimal import Decimal
from functools import cache

from iso4217 import Currency

MOST_DECIMALS = 4
"""The most that any currency has."""
MOST_DIGITS = 40
"""The most that a number may have to be read as an amount."""
_DECIMALS_OF_OTHERS = 2  # for units without decimals in ISO 4217, such as gold


@cache
def decimals_of(currency: str) -> int:
    """Return how many decimals amounts of the currency have: 0 for JPY, 2 for EUR, 3 for KWD."""
    try:
        exponent = Currency(currency).exponent
    except ValueError:  # it was withdrawn, and stores keep theirs
        exponent = None
    return _DECIMALS_OF_OTHERS if exponent is None else exponent


def in_currency(amount: Decimal, currency: str) -> Decimal:
    """Return the amount with the decimals of its currency; ValueError if it has more."""
    decimals = decimals_of(currency)
    exact = amount.quantize(Decimal(1).scaleb(-decimals)) + 0  # which turns -0.00 into the 0.00 that it is read back as
    if exact != amount:
        raise ValueError(f"must have at most {decimals} decimals in {currency}")
    return exact
