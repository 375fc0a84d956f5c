"""The failures of products."""

from dataclasses import dataclass

from app.db.models import Product
from app.errors import DomainError


@dataclass
class StaleStock(DomainError):
    """The stock has changed since the client read it."""

    current: Product

    @property
    def current_stock(self) -> int | None:
        """The stock now; None if it isn't tracked."""
        return self.current.stock

    @property
    def message(self) -> str:
        """The problem, in English."""
        now = "isn't tracked" if self.current_stock is None else f"is {self.current_stock}"
        return f"The stock has changed since you read it; it {now} now."
