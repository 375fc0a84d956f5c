"""An amount of money."""

from decimal import Decimal

import strawberry


@strawberry.type(description="An amount of money.")
class Money:
    amount: Decimal = strawberry.field(description="How much, with two decimals.")
    currency: str = strawberry.field(description="Of which currency, ISO 4217, such as `EUR`.")
