"""Failures. Those that clients are expected to handle are a `DomainError` and become members of a mutation's result;
a `RequestError` appears in the response's `errors` with its code."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from app.global_ids import global_id

NO_ACCOUNT = "The account no longer exists."
INTERNAL = "INTERNAL_SERVER_ERROR"  # the code of whatever was unforeseen
EXPIRED = "The access token has expired; use refreshSession to get another."


class DomainError(Exception):
    """A failure that clients are expected to handle. Each has a `message`, in English."""


@dataclass
class NotFound(DomainError):
    """The row doesn't exist, is deleted, or isn't visible to the viewer."""

    entity: str
    key: UUID

    @property
    def id(self) -> str:
        """The global id that was requested."""
        return global_id(self.entity, self.key)

    @property
    def message(self) -> str:
        """The problem, in English."""
        return f"There is no such {self.entity}."


@dataclass
class Conflict(DomainError):
    """Another row has this value already; `field` is the input's field in camelCase."""

    field: str
    message: str


@dataclass(frozen=True)
class InputIssue:
    """One wrong field: the camelCase path to it in the input, and what it requires."""

    path: tuple[str, ...]
    message: str


@dataclass
class InvalidInput(DomainError):
    """Fields of the input that break a rule, all of them at once."""

    issues: Sequence[InputIssue]

    @property
    def message(self) -> str:
        """The problems, in English."""
        return "; ".join(f"{'.'.join(issue.path)} {issue.message}" for issue in self.issues)


@dataclass
class StaleVersion(DomainError):
    """The row has changed since the client read it."""

    current_version: int

    @property
    def message(self) -> str:
        """The problem, in English."""
        return f"The object has changed since you read it; its version is now {self.current_version}."


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
