"""Failures. Those that clients are expected to handle are a `DomainError` and become members of a mutation's result;
a `RequestError` appears in the response's `errors` with its code."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Any
from uuid import UUID

from app.global_ids import global_id

SESSION_ENDED = "The session has ended. Log in again."
INTERNAL = "INTERNAL_SERVER_ERROR"  # the code of whatever was unforeseen
PAYLOAD_UNREADABLE = "PAYLOAD_UNREADABLE"  # the code of what failed in the result of a mutation that took effect
EXPIRED = "The access token has expired. Use refreshSession to get a new one."


class DomainError(Exception):
    """A failure that clients are expected to handle. Each has a `message`, in English."""


@dataclass
class NotFound(DomainError):
    """The row doesn't exist, is deleted, or isn't visible to the viewer."""

    entity: str
    key: UUID

    @property
    def missing_id(self) -> str:
        """The global id that was requested."""
        return global_id(self.entity, self.key)

    @property
    def message(self) -> str:
        """The problem, in English."""
        return f"There is no such {self.entity}."


class ConflictCode(StrEnum):
    """The kinds of values that must be unique."""

    EMAIL_TAKEN = "EMAIL_TAKEN"
    STORE_NAME_TAKEN = "STORE_NAME_TAKEN"
    STORE_DOMAIN_TAKEN = "STORE_DOMAIN_TAKEN"
    PRODUCT_NAME_TAKEN = "PRODUCT_NAME_TAKEN"


@dataclass
class Conflict(DomainError):
    """Another row has this value already; `path` leads to it in the input, in camelCase."""

    path: tuple[str, ...]
    code: ConflictCode
    message: str


class InputIssueCode(StrEnum):
    """The kinds of rules that an input field can break."""

    REQUIRED = "REQUIRED"
    EMPTY = "EMPTY"
    TOO_SHORT = "TOO_SHORT"
    TOO_LONG = "TOO_LONG"
    TOO_SMALL = "TOO_SMALL"
    TOO_LARGE = "TOO_LARGE"
    TOO_FEW = "TOO_FEW"
    TOO_MANY = "TOO_MANY"
    TOO_MANY_DECIMALS = "TOO_MANY_DECIMALS"
    NOT_UNIQUE = "NOT_UNIQUE"
    CONTROL_CHARACTERS = "CONTROL_CHARACTERS"
    MALFORMED = "MALFORMED"
    WRONG = "WRONG"
    STOCK_NOT_TRACKED = "STOCK_NOT_TRACKED"
    NOT_IN_ORDER = "NOT_IN_ORDER"
    ALREADY_FULFILLED = "ALREADY_FULFILLED"


@dataclass(frozen=True)
class InputIssue:
    """One wrong field: the camelCase path to it in the input, the rule it breaks, and what it requires."""

    path: tuple[str, ...]
    code: InputIssueCode
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
    """The row has changed since the client read it. `entity` is the name of its type, `current` the row now."""

    entity: str
    current: Any

    @property
    def current_version(self) -> int:
        """The version that the entity has now."""
        return int(self.current.version)

    @property
    def message(self) -> str:
        """The problem, in English."""
        return f"The object has changed since you read it; its version is now {self.current_version}."


class RequestError(Exception):
    """A failure of the request as a whole, reported in `errors` with this stable code."""

    code: str
    status: int | None = None
    """The status of the response over HTTP, where it doesn't follow from the media type."""
    retry_after: int | None = None
    """Seconds after which to retry, where the service itself is unavailable."""

    explanation = ""
    """The problem, in English, where it is always the same."""

    def __init__(self, message: str = "", **extensions: object) -> None:
        super().__init__(message or self.explanation)
        self.extensions = {"code": self.code, **extensions}


class Unauthenticated(RequestError):
    """The operation requires a login, or the token is no longer valid."""

    code = "UNAUTHENTICATED"


class Forbidden(RequestError):
    """The viewer can see the object but may not do this to it."""

    code = "FORBIDDEN"


class BadUserInput(RequestError):
    """An argument is malformed; the path, of one step or several, names it as the client wrote it."""

    code = "BAD_USER_INPUT"

    def __init__(self, path: str | Sequence[str], message: str) -> None:
        steps = [path] if isinstance(path, str) else [*path]
        super().__init__(f"`{'.'.join(steps)}` {message}", argumentPath=steps)


class Missing(RequestError):
    """The object that a subscription follows doesn't exist, or the viewer can't see it any longer."""

    code = "NOT_FOUND"


class TooManySubscriptions(RequestError):
    """A WebSocket, a client, or all clients without a login together have reached the limit of subscriptions."""

    code = "SUBSCRIPTION_LIMIT"

    def __init__(self, whose: str, limit: int) -> None:
        super().__init__(f"{whose} may have at most {limit} subscriptions at once.", limit=limit)


class TooManyConnections(RequestError):
    """The client has reached the limit of open connections."""

    code = "CONNECTION_LIMIT"
    status = HTTPStatus.TOO_MANY_REQUESTS
    retry_after = 1

    def __init__(self, limit: int) -> None:
        message = f"You may have at most {limit:,} connections open at once. Close some of them, or retry later."
        super().__init__(message, limit=limit)


class RequestTooSlow(RequestError):
    """The request didn't arrive in time."""

    code = "REQUEST_TIMEOUT"
    status = HTTPStatus.REQUEST_TIMEOUT
    explanation = "The request took too long to arrive."


class ResponseTooLarge(RequestError):
    """The response is larger than the server sends, or than it keeps with an Idempotency-Key; nothing was changed."""

    code = "RESPONSE_TOO_LARGE"

    def __init__(self, limit: int, of: str = "A response") -> None:
        message = f"{of} may have at most {limit:,} bytes. Nothing was changed. Select less, or smaller pages."
        super().__init__(message, limit=limit)


class EventsMissed(RequestError):
    """Events may have been missed, and it is unknown which."""

    code = "EVENTS_MISSED"
    explanation = "Events may have been missed. Read the current state and subscribe again."


class EventsExpired(Exception):
    """The log no longer has what followed a cursor, or never had it: a backup was restored."""


class Restarting(RequestError):
    """The process is ending; another one takes over."""

    code = "RESTARTING"
    status = HTTPStatus.SERVICE_UNAVAILABLE
    retry_after = 1
    explanation = "The server is restarting. The operation was not completed. Reconnect."


class TimedOut(RequestError):
    """The operation, or one of its statements, exceeded its time limit; nothing was changed."""

    code = "TIMEOUT"
    explanation = "The operation took too long and was cancelled. Nothing was changed. Request less, or retry later."


class Overloaded(RequestError):
    """The server has more requests than it can handle in time; nothing was changed."""

    code = "OVERLOADED"
    status = HTTPStatus.SERVICE_UNAVAILABLE
    retry_after = 1
    explanation = "The server is overloaded. Nothing was changed. Retry in a moment."


class DatabaseUnavailable(RequestError):
    """The database couldn't be reached, or disconnected before anything was committed; nothing was changed."""

    code = "DATABASE_UNAVAILABLE"
    status = HTTPStatus.SERVICE_UNAVAILABLE
    retry_after = 1
    explanation = "The database can't be reached. Nothing was changed. Retry in a moment."


class OutcomeUnknown(RequestError):
    """The database disconnected during the commit: it is unknown whether the mutation took effect."""

    code = "OUTCOME_UNKNOWN"
    explanation = (
        "The database disconnected during the commit: either everything took effect, or nothing. Retry with the "
        "same Idempotency-Key if you sent one. Otherwise, check the current state before you retry."
    )


class TooManyValues(RequestError):
    """An operation that isn't compiled could return more than the event loop can handle while others wait."""

    code = "VALUE_LIMIT_EXCEEDED"

    def __init__(self, values: int, limit: int, reason: str) -> None:
        message = (
            f"This operation can return up to {values:,} values. The limit is {limit:,} where an operation isn't "
            f"compiled, and this one isn't: {reason}. Request fewer items per page, or fewer fields."
        )
        super().__init__(message, requested=values, limit=limit)


class RateLimited(RequestError):
    """The client exceeded a rate limit, or asked for `too_much` for any window of it."""

    code = "RATE_LIMIT_EXCEEDED"
    status = HTTPStatus.TOO_MANY_REQUESTS

    def __init__(
        self, what: str, limit: int, window: int, remaining: int, reset: int, *, too_much: int | None = None
    ) -> None:
        rule = f"The limit is {limit:,} {what} per {window:,} seconds"
        left: dict[str, int] = {"limit": limit, "window": window, "remaining": remaining}
        self.limit, self.window, self.remaining, self.reset = limit, window, remaining, reset
        if too_much is None:
            self.retry_after = reset
            super().__init__(f"{rule}. Retry in {reset:,} seconds.", **left, retryAfter=reset)
        else:
            super().__init__(f"{rule}, and this takes {too_much:,}. Request less.", **left, requested=too_much)


class MultipleAttempts(RequestError):
    """A request tries several passwords or tokens, or several email addresses."""

    code = "MULTIPLE_ATTEMPTS"
    explanation = (
        "A request may contain only one of logIn, signUp, refreshSession, logOut, and updateUser with an email address "
        "or a password. Nothing was changed. Send one request for each."
    )


class DocumentNotFound(RequestError):
    """No document with this hash is known. Clients recognize the message and send the document."""

    code = "PERSISTED_QUERY_NOT_FOUND"
    explanation = "PersistedQueryNotFound"


class DocumentsNotNamed(RequestError):
    """Documents can't be named by their hashes. Clients recognize the message and send whole ones from then on."""

    code = "PERSISTED_QUERY_NOT_SUPPORTED"
    explanation = "PersistedQueryNotSupported"


class HashMismatch(RequestError):
    """The hash sent with a document isn't its own."""

    code = "PERSISTED_QUERY_HASH_MISMATCH"
    explanation = "The hash isn't the SHA-256 of the document sent with it."


class TransactionConflict(RequestError):
    """The operation conflicted with others on every attempt; nothing was changed."""

    code = "TRANSACTION_CONFLICT"
    explanation = "The operation conflicted with other changes. Nothing was changed. Retry it."
