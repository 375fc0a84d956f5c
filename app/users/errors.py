"""The failures of accounts."""

from dataclasses import dataclass

from app.errors import DomainError


@dataclass
class IncorrectCredentials(DomainError):
    """The email, password or refresh token is wrong; the message deliberately doesn't say which."""

    message: str = "Wrong email, password, or token."
