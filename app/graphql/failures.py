"""The failures that clients are expected to handle: each is a member of a mutation's result, and shows one exception
of the domain, whose fields it copies."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import strawberry

from app import errors

T = TypeVar("T")


@strawberry.interface(description="A failure that clients are expected to handle.")
class Error:
    message: str = strawberry.field(description="Description of the problem, in English, suitable for display.")

    @classmethod
    def of(cls, exception: errors.DomainError) -> Self:
        """Return what shows an exception: a field has the value of the exception's attribute with its name."""
        fields: Any = cls.__strawberry_definition__.fields  # type: ignore[attr-defined]  # of each decorated subclass
        return cls(**{field.python_name: getattr(exception, field.python_name) for field in fields if field.init})


@dataclass(frozen=True)
class Handler:
    """Turns an exception into the member of a field's union that shows it."""

    exception_type: type[errors.DomainError]
    error_type: type[Error]

    def handle(self, exception: Exception, *, field: object, info: object) -> Error:
        """Return the member; Strawberry asks only where the field's union has it."""
        assert isinstance(exception, self.exception_type), "Strawberry asks for no other"
        return self.error_type.of(exception)


HANDLERS: list[Handler] = []
"""The handlers of all failures, those of the domains included once their types are imported."""


def failure(exception: type[errors.DomainError], description: str) -> Callable[[type[T]], type[T]]:
    """Make a type of a result's union that shows this exception."""

    def decorate(cls: type[T]) -> type[T]:
        made: Any = strawberry.type(cls, description=description)
        HANDLERS.append(Handler(exception, made))
        return cls

    return decorate


@failure(errors.NotFound, "The object doesn't exist, or you can't see it.")
class NotFound(Error):
    id: strawberry.ID = strawberry.field(description="The ID that was requested.")


@failure(errors.Conflict, "The value is already in use and must be unique.")
class Conflict(Error):
    field: str = strawberry.field(
        description=(
            "The input field with the duplicate value. In a list, the index is part of the name, such as "
            "`products.1.name`."
        )
    )


@strawberry.type(description="An input field that failed validation.")
class InputIssue:
    path: list[str] = strawberry.field(
        description='Path to the field within the input: field names and list indexes, such as `["items", "0"]`.'
    )
    message: str = strawberry.field(description="What the field requires, in English, suitable for display.")


@failure(errors.InvalidInput, "One or more input fields failed validation. Nothing was changed.")
class InvalidInput(Error):
    issues: list[InputIssue] = strawberry.field(description="Every field that failed validation.")


@failure(errors.StaleVersion, "The object has changed since you read it. Nothing was changed; read it again.")
class StaleVersion(Error):
    current_version: int = strawberry.field(description="The current version of the object.")


def result(mutation: str) -> Any:
    """Make a union of the possible results of the mutation with this name."""
    return strawberry.union(
        f"{mutation[0].upper()}{mutation[1:]}Result", description=f"Possible results of `{mutation}`."
    )
