"""The failures that clients are expected to handle: each is a member of a mutation's result, and shows one exception
of the domain, whose fields it copies."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar, dataclass_transform

import strawberry

from app import errors
from app.graphql.enums import describe_enum
from app.graphql.node import Node, node_named

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


@dataclass_transform(kw_only_default=True)
def failure(exception: type[errors.DomainError], description: str) -> Callable[[type[T]], type[T]]:
    """Make a type of a result's union that shows this exception."""

    def decorate(cls: type[T]) -> type[T]:
        made: Any = strawberry.type(cls, description=description)
        HANDLERS.append(Handler(exception, made))
        return cls

    return decorate


describe_enum(
    errors.ConflictCode,
    EMAIL_TAKEN="Another account has this email address.",
    STORE_NAME_TAKEN="Another store of the same owner has this name.",
    STORE_DOMAIN_TAKEN="Another store has this domain.",
    PRODUCT_NAME_TAKEN="Another product of the store has this name.",
)
describe_enum(
    errors.InputIssueCode,
    REQUIRED="The field is missing, or null.",
    EMPTY="The text is empty.",
    TOO_SHORT="The text has too few characters.",
    TOO_LONG="The text has too many characters.",
    TOO_SMALL="The number is below the minimum.",
    TOO_LARGE="The number is above the maximum.",
    TOO_FEW="The list has too few items.",
    TOO_MANY="The list has too many items.",
    TOO_MANY_DECIMALS="The amount has more decimals than allowed.",
    NOT_UNIQUE="An earlier item of the list has the same value.",
    CONTROL_CHARACTERS="The text contains control characters.",
    MALFORMED="The value doesn't have the required form.",
    WRONG="The password isn't the current one.",
    STOCK_NOT_TRACKED="The product's stock isn't tracked.",
    NOT_IN_ORDER="The item isn't part of this order.",
    ALREADY_FULFILLED="The item is already fulfilled.",
)


@failure(errors.NotFound, "The object doesn't exist, or you can't see it.")
class NotFound(Error):
    missing_id: strawberry.ID = strawberry.field(description="The ID that was requested.")


_PATH = 'Path to the field, from the argument on: names and list indexes, such as `["input", "items", "0"]`.'


def _path(within_input: Sequence[str]) -> list[str]:
    """Return a path from the argument on. Every mutation has one, which is named `input`."""
    return ["input", *within_input]


@failure(errors.Conflict, "The value is already in use and must be unique.")
class Conflict(Error):
    code: errors.ConflictCode = strawberry.field(description="What is already in use. Translate this, not the message.")
    path: list[str] = strawberry.field(description=_PATH)

    @classmethod
    def of(cls, exception: Any) -> Self:
        """Return what shows a conflict."""
        return cls(message=exception.message, code=exception.code, path=_path(exception.path))


@strawberry.type(description="An input field that failed validation.")
class InputIssue:
    path: list[str] = strawberry.field(description=_PATH)
    code: errors.InputIssueCode = strawberry.field(
        description="The kind of rule that the field breaks. Translate this, not the message."
    )
    message: str = strawberry.field(description="What the field requires, in English, suitable for display.")


@failure(errors.InvalidInput, "One or more input fields failed validation. Nothing was changed.")
class InvalidInput(Error):
    issues: list[InputIssue] = strawberry.field(description="Every field that failed validation.")

    @classmethod
    def of(cls, exception: Any) -> Self:
        """Return what shows all issues."""
        issues = [InputIssue(path=_path(each.path), code=each.code, message=each.message) for each in exception.issues]
        return cls(message=exception.message, issues=issues)


@failure(errors.StaleVersion, "The object has changed since you read it. Nothing was changed; merge and try again.")
class StaleVersion(Error):
    current_version: int = strawberry.field(description="The current version of the object.")
    current: Node = strawberry.field(description="The object as it is now.")

    @classmethod
    def of(cls, exception: Any) -> Self:
        """Return what shows the current state."""
        current = node_named(exception.entity).type_(row=exception.current)
        return cls(message=exception.message, current_version=exception.current_version, current=current)


def result(mutation: str) -> Any:
    """Make a union of the possible results of the mutation with this name."""
    return strawberry.union(
        f"{mutation[0].upper()}{mutation[1:]}Result", description=f"Possible results of `{mutation}`."
    )
