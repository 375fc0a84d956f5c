"""The failures of the domain. Those a client handles become members of a mutation's result union;
`RequestError` and its kinds appear in the response's `errors` with their code."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

NO_ACCOUNT = "The account no longer exists."
INTERNAL = "INTERNAL_SERVER_ERROR"  # the code of whatever was not foreseen
EXPIRED = "The access token has expired; use refreshSession to get another."


class DomainError(Exception):
    """A failure that a client is meant to handle."""


@dataclass
class NotFound(DomainError):
    """The row does not exist, is deleted, or is not the viewer's to see."""

    entity: str
    key: UUID


@dataclass
class Conflict(DomainError):
    """Another row has this value already; `field` is the input's field in camelCase."""

    field: str
    message: str


@dataclass(frozen=True)
class InputIssue:
    """One wrong field: the camelCase path to it in the input, and what it expects."""

    path: tuple[str, ...]
    message: str


@dataclass
class InvalidInput(DomainError):
    """Fields of the input that break a rule, all of them at once."""

    issues: Sequence[InputIssue]


@dataclass
class StaleVersion(DomainError):
    """The row has changed since the client read it."""

    current_version: int


@dataclass(frozen=True)
class Shortage:
    """A product of which fewer are left than were ordered."""

    product_id: UUID
    requested: int
    available: int


@dataclass
class InsufficientStock(DomainError):
    """Products that cannot be ordered in the quantity asked for, all of them at once."""

    shortages: Sequence[Shortage]


@dataclass
class InvalidTransition(DomainError):
    """The order's status, a value of OrderStatus, does not allow this step."""

    status: str
    message: str


class IncorrectCredentials(DomainError):
    """The email, password or refresh token is not good; which of them is never told."""


class RequestError(Exception):
    """A failure of the request as a whole, shown in `errors` with this stable code."""

    code: str
    retry_after: int | None = None
    """After how many seconds to try again, where it is the service that cannot answer, whatever was asked of it."""

    def __init__(self, message: str, **extensions: object) -> None:
        super().__init__(message)
        self.extensions = {"code": self.code, **extensions}


class Unauthenticated(RequestError):
    """The operation needs a login, or the token is no longer good."""

    code = "UNAUTHENTICATED"


class Forbidden(RequestError):
    """The viewer may see this but not do it."""

    code = "FORBIDDEN"


class BadUserInput(RequestError):
    """An argument is malformed; `argument` names it as the client wrote it."""

    code = "BAD_USER_INPUT"

    def __init__(self, argument: str, message: str) -> None:
        super().__init__(f"`{argument}` {message}", argument=argument)


class Missing(RequestError):
    """What a subscription follows is not there, or no longer the viewer's to see."""

    code = "NOT_FOUND"


class TooManySubscriptions(RequestError):
    """The connection or the user has as many as may be."""

    code = "SUBSCRIPTION_LIMIT"

    def __init__(self, whose: str, limit: int) -> None:
        super().__init__(f"{whose} may have {limit} subscriptions at once.", limit=limit)


class EventsMissed(RequestError):
    """Events may have been missed, and nobody could tell which."""

    code = "EVENTS_MISSED"

    def __init__(self) -> None:
        super().__init__("Events may have been missed. Read what there is, and subscribe again.")


class Restarting(RequestError):
    """The process ends; another one takes over."""

    code = "RESTARTING"
    retry_after = 1

    def __init__(self) -> None:
        super().__init__("The server restarts. What was under way was not done. Connect again.")


class TimedOut(RequestError):
    """The operation, or one of its statements, took longer than it may; nothing was done."""

    code = "TIMEOUT"

    def __init__(self) -> None:
        super().__init__("It took too long and was given up. Nothing was done; ask for less, or try again later.")


class Overloaded(RequestError):
    """There is more to do than can be done in time; nothing was done."""

    code = "OVERLOADED"
    retry_after = 1

    def __init__(self) -> None:
        super().__init__("There is too much to do at once. Nothing was done; try again in a moment.")


class DatabaseUnavailable(RequestError):
    """The database could not be reached, or went away before anything was committed; nothing was done."""

    code = "DATABASE_UNAVAILABLE"
    retry_after = 1

    def __init__(self) -> None:
        super().__init__("The database cannot be reached. Nothing was done; try again in a moment.")


class OutcomeUnknown(RequestError):
    """The database went away while it committed: nobody knows whether the mutation stands."""

    code = "OUTCOME_UNKNOWN"

    def __init__(self) -> None:
        super().__init__(
            "The database went away while it committed, so all of this was done, or nothing. Send it again with the "
            "same Idempotency-Key if it had one; else look what is so before you do."
        )


class RateLimited(RequestError):
    """More than may be asked for within a time."""

    code = "RATE_LIMIT_EXCEEDED"

    def __init__(self, what: str, limit: int, window: int, remaining: int, reset: int) -> None:
        message = f"There are {limit:,} {what} for each {window:,} seconds; try again in {reset:,} seconds."
        super().__init__(message, limit=limit, window=window, remaining=remaining, retryAfter=reset)
        self.limit, self.window, self.reset = limit, window, reset


class DocumentNotFound(RequestError):
    """No document is known by this hash. Clients know the message, and send the document."""

    code = "PERSISTED_QUERY_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("PersistedQueryNotFound")


class DocumentsNotNamed(RequestError):
    """Documents are not known by hashes here. Clients know the message, and send whole ones from then on."""

    code = "PERSISTED_QUERY_NOT_SUPPORTED"

    def __init__(self) -> None:
        super().__init__("PersistedQueryNotSupported")


class HashMismatch(RequestError):
    """The hash that came with a document is not its own."""

    code = "PERSISTED_QUERY_HASH_MISMATCH"

    def __init__(self) -> None:
        super().__init__("The hash is not the SHA-256 of the document that came with it.")


class TransactionConflict(RequestError):
    """Other operations stood in the way, again and again; nothing was done, and the client may try again."""

    code = "TRANSACTION_CONFLICT"

    def __init__(self) -> None:
        super().__init__("Other changes stood in the way. Nothing was done; try again.")
