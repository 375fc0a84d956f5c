"""How failures reach a client: those of the domain as members of a union, all others in `errors` with a code."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import strawberry
import structlog
from graphql import GraphQLError, GraphQLSyntaxError

from app import errors
from app.graphql import lazy
from app.graphql.context import Info
from app.graphql.enums import OrderStatus
from app.graphql.ids import global_id

log = structlog.get_logger(__name__)


@strawberry.interface(description="What every failure that a client is meant to handle has in common.")
class Error:
    message: str = strawberry.field(description="What went wrong, in English, for a person.")


@strawberry.type(description="There is no such thing, or it is not yours to see.")
class NotFound(Error):
    id: strawberry.ID = strawberry.field(description="The id that was looked for.")


@strawberry.type(description="Another one has this value already, and it must be unique.")
class Conflict(Error):
    field: str = strawberry.field(
        description="The field of the input whose value is taken; in a list, as `products.1.name`."
    )


@strawberry.type(description="One wrong field of an input.")
class InputIssue:
    path: list[str] = strawberry.field(
        description='Where in the input: the names of fields and, in a list, the index, as in `["items", "0"]`.'
    )
    message: str = strawberry.field(description="What the field expects, in English, for a person.")


@strawberry.type(description="Fields of the input break a rule. Nothing was changed.")
class InvalidInput(Error):
    issues: list[InputIssue] = strawberry.field(description="Every wrong field, all at once.")


@strawberry.type(description="Somebody else changed it since you read it. Nothing was changed; read it again.")
class StaleVersion(Error):
    current_version: int = strawberry.field(description="The version it has now.")


@strawberry.type(description="A product of which fewer are left than were ordered.")
class StockShortage:
    product_id: strawberry.Private[UUID]
    requested: int = strawberry.field(description="How many were ordered.")
    available: int = strawberry.field(description="How many are left.")

    @strawberry.field(description="The product that is short.")
    async def product(self, info: Info) -> lazy.Product:
        return await info.context.loaders.product.load(self.product_id)


@strawberry.type(description="Some products are short, so nothing was ordered.")
class InsufficientStock(Error):
    shortages: list[StockShortage] = strawberry.field(description="Every product that is short.")


@strawberry.type(description="The order's status does not allow this step.")
class InvalidTransition(Error):
    status: OrderStatus = strawberry.field(description="The status that the order has now.")


@strawberry.type(description="The email, the password or the token is not right. Which of them is not told.")
class IncorrectCredentials(Error):
    pass


@dataclass(frozen=True)
class Handler:
    """Turns a failure of the domain into the member of a field's union that stands for it."""

    exception_type: type[errors.DomainError]
    error_type: type[Error]
    convert: Callable[[Any], Error]

    def handle(self, exception: Exception, *, field: object, info: object) -> Error:
        """Return the member; Strawberry asks only where the field's union has it."""
        return self.convert(exception)


def incorrect_credentials(_: errors.IncorrectCredentials | None = None) -> IncorrectCredentials:
    """Return the one answer to every wrong email, password or token."""
    return IncorrectCredentials(message="The credentials are not correct.")


HANDLERS = (
    Handler(
        errors.NotFound,
        NotFound,
        lambda e: NotFound(message=f"There is no such {e.entity}.", id=global_id(e.entity, e.key)),
    ),
    Handler(errors.Conflict, Conflict, lambda e: Conflict(message=e.message, field=e.field)),
    Handler(
        errors.InvalidInput,
        InvalidInput,
        lambda e: InvalidInput(
            message="; ".join(f"{'.'.join(issue.path)} {issue.message}" for issue in e.issues),
            issues=[InputIssue(path=list(issue.path), message=issue.message) for issue in e.issues],
        ),
    ),
    Handler(
        errors.StaleVersion,
        StaleVersion,
        lambda e: StaleVersion(
            message=f"It has been changed since: it has version {e.current_version} now.",
            current_version=e.current_version,
        ),
    ),
    Handler(
        errors.InsufficientStock,
        InsufficientStock,
        lambda e: InsufficientStock(
            message="There are not enough left of what was ordered.",
            shortages=[
                StockShortage(product_id=short.product_id, requested=short.requested, available=short.available)
                for short in e.shortages
            ],
        ),
    ),
    Handler(
        errors.InvalidTransition,
        InvalidTransition,
        lambda e: InvalidTransition(message=e.message, status=OrderStatus(e.status)),
    ),
    Handler(errors.IncorrectCredentials, IncorrectCredentials, incorrect_credentials),
)


def is_internal(error: GraphQLError) -> bool:
    """Tell whether a presentable error is of something that was not foreseen."""
    return error.extensions is not None and error.extensions.get("code") == errors.INTERNAL


def presentable(error: GraphQLError, request_id: str) -> GraphQLError:
    """Return the error as a client may see it: with its code, and nothing of what was not foreseen."""
    cause = error.original_error
    if isinstance(cause, errors.RequestError):
        error.extensions = cause.extensions
    elif isinstance(error, GraphQLSyntaxError):
        error.extensions = {"code": "GRAPHQL_PARSE_FAILED"}
    elif error.path is None and (cause is None or (error.nodes and not isinstance(cause, GraphQLError))):
        # of the document as a whole, or of a literal in it that is not of its scalar
        error.extensions = {"code": "GRAPHQL_VALIDATION_FAILED", **(error.extensions or {})}
    elif cause is None or isinstance(cause, GraphQLError):
        error.extensions = {"code": "BAD_USER_INPUT", **(error.extensions or {})}
    else:
        log.error("internal error", request_id=request_id, path=error.path, exc_info=cause)
        return GraphQLError(
            f"Something went wrong on our side. Tell us the request id {request_id}.",
            nodes=error.nodes,
            path=error.path,
            extensions={"code": errors.INTERNAL, "requestId": request_id},
        )
    return error
