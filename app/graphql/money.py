"""An amount of money."""

from decimal import Decimal
from typing import Any

import strawberry

from app.graphql.relations.fields import Expression, embedded


@strawberry.type(description="An amount of money in one currency.")
class Money:
    amount: Decimal = strawberry.field(description="The amount, with two decimal places.")
    currency: str = strawberry.field(description="ISO 4217 currency code, such as `EUR`.")


def money(amount: Expression, currency: Expression, description: str) -> Any:
    """Declare an amount of money that a row holds."""
    return embedded(Money, description, amount=amount, currency=currency)
