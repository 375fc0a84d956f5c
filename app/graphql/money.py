"""An amount of money."""

from decimal import Decimal
from typing import Any

import strawberry

from app.graphql.relations.fields import Expression, embedded
from app.inputs import CurrencyCode


@strawberry.type(description="An amount of money in one currency.")
class Money:
    amount: Decimal = strawberry.field(
        description="The amount, with as many decimals as its currency: `12.50` EUR, `1800` JPY, `1.255` KWD."
    )
    currency: CurrencyCode = strawberry.field(description="ISO 4217 currency code, such as `EUR`.")


def money(amount: Expression, currency: Expression, description: str) -> Any:
    """Declare an amount of money that a row holds."""
    return embedded(Money, description, amount=amount, currency=currency)
