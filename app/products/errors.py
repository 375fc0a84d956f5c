"""The failures of products."""

from dataclasses import dataclass

from app.db.statements import Record
from app.errors import DomainError


@dataclass
class StaleStock(DomainError):
    """The stock has changed since the client read it."""

    current: Record

    @property
    def current_stock(self) -> int | None:
        """The stock now; None if it isn't tracked."""
        stock: int | None = self.current.stock
        return stock

    @property
    def message(self) -> str:
        """The problem, in English."""
        now = "isn't tracked" if self.current_stock is None else f"is {self.current_stock}"
        return f"The stock has changed since you read it; it {now} now."
