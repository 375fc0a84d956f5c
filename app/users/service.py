"""The rules of accounts and sessions."""

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from uuid_utils.compat import uuid7

from app.audit import recording as audit
from app.contacts import normalized_email
from app.db.engine import Database
from app.db.statements import Record
from app.db.unit_of_work import UnitOfWork
from app.errors import (
    SESSION_ENDED,
    Forbidden,
    InputIssue,
    InputIssueCode,
    InvalidInput,
    NotFound,
    TransactionConflict,
    Unauthenticated,
)
from app.security import passwords
from app.security.tokens import RefreshTokens, refresh_token_hash
from app.security.viewer import Viewer, is_self_or_superuser
from app.stores.repository import this_moment
from app.stores.service import delete_stores_of
from app.users import repository
from app.users.errors import IncorrectCredentials
from app.users.inputs import LogInInput, SignUpInput, UpdateUserInput
from app.users.repository import Credentials

CountOn = Callable[[str], Awaitable[None]]
"""Counts an attempt on the account with an email address; raises RateLimited if there were too many."""

REPEATABLE = timedelta(seconds=10)
"""How long a refresh can be repeated: two tabs may refresh at once, and a response may get lost."""


@dataclass(frozen=True)
class IssuedToken:
    """A refresh token that continues a session, and the user it was issued to."""

    user: Record
    session_id: UUID
    refresh_token: str


@dataclass(frozen=True)
class VerifiedPassword:
    """A password that was verified before the transaction began, in which the account must still have its hash."""

    user_id: UUID
    password_hash: str
    new_hash: str | None = None
    """The hash to store instead of it."""


async def create_user(
    work: UnitOfWork, account: SignUpInput, password_hash: str | None, *, is_superuser: bool = False
) -> Record:
    """Create an account; Conflict if the email is already in use. There is a hash unless the input is invalid."""
    values = {"email": account.email, "full_name": account.full_name, "is_superuser": is_superuser}
    user = await repository.insert(work, {**values, "password_hash": password_hash})
    _note(work, user.id, "password")
    return user


async def sign_up(
    work: UnitOfWork, account: SignUpInput, password_hash: str | None, network: str, tokens: RefreshTokens
) -> IssuedToken:
    """Create an account and begin its first session, from this network."""
    return await _begin_session(work, await create_user(work, account, password_hash), network, tokens)


async def verify_log_in(
    database: Database, given: LogInInput, network: str, count_on: CountOn
) -> VerifiedPassword | None:
    """Verify the password of an account to log in to; None, after the same time, if it is wrong or there is no such
    account."""
    address = normalized_email(given.email)
    credentials = None
    if address is not None:
        credentials = await repository.credentials_for_email(database, address, _hash_of(network))
        await _count(address, credentials, count_on)
    verified = await _verified(credentials, given.password)
    if verified is None or not passwords.needs_rehash(verified.password_hash):
        return verified
    return replace(verified, new_hash=await passwords.hash_password(given.password))


async def verify_update(
    database: Database, viewer: Viewer, update: UpdateUserInput, network: str, count_on: CountOn
) -> VerifiedPassword | None:
    """Verify the viewer's current password, and hash the new one if there is one; None if the current one is wrong, or
    not needed."""
    if update.current_password is None or update.model_fields_set.isdisjoint({"email", "password"}):
        return None
    credentials = await repository.credentials_of(database, viewer.id, _hash_of(network))
    if credentials is not None:
        await _count(credentials.email, credentials, count_on)
    verified = await _verified(credentials, update.current_password)
    if verified is None or update.password is None:
        return verified
    return replace(verified, new_hash=await passwords.hash_password(update.password))


async def _count(address: str, credentials: Credentials | None, count_on: CountOn) -> None:
    """Count an attempt on an account, unless it comes from where its user has lately logged in: others must not be able
    to lock the user out. An account that doesn't exist counts alike."""
    if credentials is None or not credentials.is_from_known_network:
        await count_on(address)


async def _verified(credentials: Credentials | None, password: str) -> VerifiedPassword | None:
    if not await passwords.verify_password(credentials.password_hash if credentials else None, password):
        return None
    assert credentials is not None, "otherwise no password is right"
    return VerifiedPassword(credentials.user_id, credentials.password_hash)


async def log_in(
    work: UnitOfWork, verified: VerifiedPassword | None, network: str, tokens: RefreshTokens
) -> IssuedToken:
    """Begin a session from this network; IncorrectCredentials if the password was wrong or the account is closed."""
    user = None if verified is None else await repository.locked_with_password(work, verified.user_id)
    if verified is None or user is None:
        raise IncorrectCredentials
    _require_unchanged(user.password_hash, verified)
    if verified.new_hash is not None:
        await repository.update_user(work, user, {"password_hash": verified.new_hash})
    await repository.forget_expired_sessions(work, user.id, datetime.now(UTC))
    return await _begin_session(work, user, network, tokens)


async def refresh_session(work: UnitOfWork, token: str, network: str, tokens: RefreshTokens) -> IssuedToken | None:
    """Exchange a refresh token for the next one. None, not a failure, if it isn't valid: where that ends the session,
    it must be committed."""
    found = await repository.locked_refresh_token(work, refresh_token_hash(token))
    if found is None or found.ended_at is not None:
        return None
    user = await repository.present_user(work, found.user_id)
    if user is None:
        return None
    successor = None
    if found.used_at is not None:
        successor = await _successor_again(work, found, token, tokens)
    elif found.expires_at > datetime.now(UTC):
        await repository.use_refresh_token(work, found.token_id, datetime.now(UTC))
        # The user has moved on, or logged in before 2.1.0.
        await repository.update_session(work, found.id, {"network_hash": _hash_of(network)})
        key = uuid7()
        successor = await _stored(work, user.id, found.id, tokens.successor(token, key), tokens, key)
    return None if successor is None else IssuedToken(user, found.id, successor)


async def _successor_again(work: UnitOfWork, login: Record, token: str, tokens: RefreshTokens) -> str | None:
    """Return once more what a used token was exchanged for, while that is new and unused. Later, the session ends:
    either the token was stolen or the thief used it first."""
    newest = await repository.unused_refresh_token(work, login.id, REPEATABLE)
    successor = None if newest is None else tokens.repeated_successor(token, newest.id, newest.token_hash)
    if successor is None:
        await _end(work, login)
    return successor


async def log_out(work: UnitOfWork, token: str) -> UUID | None:
    """End the session of a refresh token; return whose it was, None if it was no longer open."""
    found = await repository.locked_refresh_token(work, refresh_token_hash(token))
    if found is None or found.ended_at is not None:
        return None
    await _end(work, found)
    user_id: UUID = found.user_id
    return user_id


async def update_user(
    work: UnitOfWork,
    viewer: Viewer,
    update: UpdateUserInput,
    verified: VerifiedPassword | None,
    current_session: UUID | None,
) -> Record:
    """Change an account. A new email or password requires the viewer's own current password, verified before; a new
    password ends every session of the account but the current one."""
    user = _managed(await repository.locked_user(work, update.id), viewer, update.id)
    changes = update.given("id", "current_password")
    if "password" in changes or changes.get("email", user.email) != user.email:
        await _require_current_password(work, viewer, update, verified)
    if changes.pop("password", None) is not None:
        changes["password_hash"] = verified and verified.new_hash
        _note(work, user.id, "password")
        await _end_sessions(work, user.id, except_for=current_session)
    return await repository.update_user(work, user, changes)


async def _require_current_password(
    work: UnitOfWork, viewer: Viewer, update: UpdateUserInput, verified: VerifiedPassword | None
) -> None:
    """Raise InvalidInput unless the input had the viewer's current password."""
    path = ("currentPassword",)
    if update.current_password is None:
        message = "is required to change the email address or password"
        raise InvalidInput([InputIssue(path, InputIssueCode.REQUIRED, message)])
    if verified is None:
        raise InvalidInput([InputIssue(path, InputIssueCode.WRONG, "is not your current password")])
    _require_unchanged(await repository.password_hash_of(work, viewer.id), verified)


def _require_unchanged(password_hash: str | None, verified: VerifiedPassword) -> None:
    """Raise TransactionConflict, after which everything is tried again, if the password has changed since it was
    verified."""
    if password_hash != verified.password_hash:
        raise TransactionConflict


async def delete_user(work: UnitOfWork, viewer: Viewer, key: UUID, current_session: UUID | None) -> Record:
    """Close an account, its sessions and its stores; Unauthenticated if the viewer's own session has ended.

    Both accounts are locked at once, in one order: two viewers who first confirmed their own account and then closed
    the other's would wait for each other."""
    present = await repository.locked_for_deletion(work, viewer.id, current_session, key)
    if viewer.id not in present:
        raise Unauthenticated(SESSION_ENDED)
    confirmed = Viewer(id=viewer.id, is_superuser=present[viewer.id].is_superuser)
    user = _managed(present.get(key), confirmed, key)
    moment = await this_moment(work)
    user = await repository.update_user(work, user, {"deleted_at": moment})
    await _end_sessions(work, key)
    await delete_stores_of(work, key, moment)
    return user


def _managed(user: Record | None, viewer: Viewer, key: UUID) -> Record:
    """Return the user; NotFound where there is none, Forbidden where the viewer may not manage the account."""
    if user is None:
        raise NotFound("User", key)
    if not is_self_or_superuser(viewer, key):
        raise Forbidden("Only the account's own user and superusers may change it.")
    return user


async def _end_sessions(work: UnitOfWork, user_id: UUID, except_for: UUID | None = None) -> None:
    await repository.end_sessions(work, user_id, except_for)
    _note(work, user_id, "sessions")


async def _end(work: UnitOfWork, login: Record) -> None:
    await repository.update_session(work, login.id, {"ended_at": datetime.now(UTC)})
    _note(work, login.user_id, "sessions")


async def _begin_session(work: UnitOfWork, user: Record, network: str, tokens: RefreshTokens) -> IssuedToken:
    session_id = await repository.insert_session(work, user.id, _hash_of(network))
    token = await _stored(work, user.id, session_id, tokens.first(), tokens, uuid7())
    return IssuedToken(user, session_id, token)


async def _stored(
    work: UnitOfWork, user_id: UUID, session_id: UUID, token: str, tokens: RefreshTokens, key: UUID
) -> str:
    """Store a new token of the user's session under this key, and return it."""
    stored = {"id": key, "session_id": session_id, "token_hash": refresh_token_hash(token)}
    await repository.insert_refresh_token(work, {**stored, "expires_at": datetime.now(UTC) + tokens.lifetime})
    _note(work, user_id, "sessions")
    return token


def _hash_of(network: str) -> bytes:
    return hashlib.sha256(network.encode()).digest()


def _note(work: UnitOfWork, user_id: UUID, field: str) -> None:
    audit.note(work, audit.Change("User", user_id, (field,)))
