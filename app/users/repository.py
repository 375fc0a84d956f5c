"""The SQL of users and their sessions."""

from collections.abc import Mapping, Sequence, Set
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    DateTime,
    Interval,
    LargeBinary,
    Select,
    Text,
    Uuid,
    any_,
    bindparam,
    delete,
    exists,
    func,
    literal_column,
    or_,
    select,
    update,
)

from app.audit import recording as audit
from app.contacts import email_in_unicode
from app.db import rows
from app.db.engine import Database
from app.db.models import USER_WORDS, RefreshToken, Session, User
from app.db.pagination import Collection, Ordering
from app.db.statements import (
    KEY,
    Prepared,
    Record,
    conflicts,
    matches,
    select_all,
    select_rows,
    table_of,
    unindexed,
    with_key_in_array,
)
from app.db.unit_of_work import UnitOfWork
from app.errors import Conflict, ConflictCode
from app.inputs import Sort
from app.security.viewer import Viewer
from app.users.inputs import UserFilter

users, sessions, _tokens = table_of(User).c, table_of(Session).c, table_of(RefreshToken).c

BY_KEY = select_all(User).where(with_key_in_array(users.id))
PRESENT_BY_KEY = BY_KEY.where(users.deleted_at.is_(None))
_IN_SESSION = exists().where(
    sessions.id == bindparam("session_id", type_=Uuid()), sessions.user_id == users.id, sessions.ended_at.is_(None)
)
IN_ACTION = (
    select(users.is_superuser, users.full_name)
    .where(users.id == bindparam("viewer_id", type_=Uuid()), users.deleted_at.is_(None), _IN_SESSION)
    .with_for_update(read=True, key_share=True)
)
"""The account of `:viewer_id`, if it is there and its `:session_id` has not ended; it cannot be deleted until the
transaction ends."""

_ACTING = Prepared(IN_ACTION)
_OPEN = Prepared(select(sessions.id).where(with_key_in_array(sessions.id), sessions.ended_at.is_(None)))


class Credentials(NamedTuple):
    """What an attempt to log in to an account needs to know of it."""

    user_id: UUID
    email: str
    password_hash: str
    is_from_known_network: bool
    """Whether the user has lately logged in from where the attempt comes from."""


def _credentials_where(condition: ColumnElement[bool]) -> Prepared:
    given = bindparam("network_hash", type_=LargeBinary())
    is_known = exists().where(Session.user_id == users.id, Session.network_hash == given)
    return Prepared(
        select(users.id, users.email, users.password_hash, is_known).where(condition, users.deleted_at.is_(None))
    )


_BY_EMAIL = _credentials_where(users.email == any_(bindparam("emails", type_=ARRAY(Text()))))
_OF_USER = _credentials_where(users.id == bindparam("user_id", type_=Uuid()))

_CONFLICTS = {"uq_users_email": ("email", ConflictCode.EMAIL_TAKEN, "An account with this email already exists.")}
_OLDEST_FIRST = Ordering(name="ID", descending=False, column=users.id, key=users.id)
_OLDEST_FIRST_FOUND = Ordering(name="ID", descending=False, column=unindexed(users.id), key=users.id, is_indexed=False)
_SEARCHED: ColumnElement[Any] = literal_column(USER_WORDS)


def conditions(_: Viewer | None, filter: UserFilter) -> Sequence[ColumnElement[bool]]:
    """Return the conditions that a filter puts on users."""
    found: list[ColumnElement[bool]] = [users.deleted_at.is_(None)]
    if filter.search is not None:
        found.append(matches(_SEARCHED, filter.search))
    return found


def _ordering(filter: UserFilter, _: Any) -> Ordering:
    return _OLDEST_FIRST if filter.search is None else _OLDEST_FIRST_FOUND


everyone: Collection[UserFilter, Sort] = Collection(User, UserFilter, conditions, _ordering)


def not_closed(user: Any) -> Any:
    """Return the condition that an account is not closed."""
    return user.deleted_at.is_(None)


async def confirmed(work: UnitOfWork, key: UUID, session_id: UUID | None) -> Viewer | None:
    """Return the viewer with their current rights, None if their session has ended or the account is deleted; it can't
    be deleted until the transaction ends."""
    found = await work.fetch(_ACTING, viewer_id=key, session_id=session_id)
    return Viewer(id=key, is_superuser=found[0].is_superuser) if found else None


async def open_sessions(work: UnitOfWork, keys: Sequence[UUID]) -> Set[UUID]:
    """Return those of the sessions that have not ended."""
    return {row.id for row in await work.fetch(_OPEN, keys=keys)}


def visible_by_key(viewer: Viewer | None) -> Select[Any]:
    """Return the statement for the users the viewer may look up: a superuser the deleted ones, too."""
    return BY_KEY if viewer is not None and viewer.is_superuser else PRESENT_BY_KEY


_PRESENT = select_rows(User).where(users.id == KEY, users.deleted_at.is_(None))
_FOUND = Prepared(_PRESENT)
_LOCKED = Prepared(_PRESENT.with_for_update(key_share=True))
_LOCKED_WITH_PASSWORD = Prepared(_PRESENT.add_columns(users.password_hash).with_for_update(key_share=True))
_LOCKED_FOR_DELETION = Prepared(
    select_rows(User)
    .where(
        with_key_in_array(users.id),
        users.deleted_at.is_(None),
        or_(users.id != bindparam("viewer_id", type_=Uuid()), _IN_SESSION),
    )
    .order_by(users.id)
    .with_for_update()
)
_PASSWORD = Prepared(select(users.password_hash).where(users.id == KEY, users.deleted_at.is_(None)))
_OTHER_WITH_EMAIL = Prepared(
    select(users.id).where(users.email == bindparam("email", type_=Text()), users.deleted_at.is_(None))
)
_LOCKED_REFRESH_TOKEN = Prepared(
    select(sessions.id, sessions.user_id, sessions.ended_at, _tokens.id.label("token_id"))
    .add_columns(_tokens.used_at, _tokens.expires_at)
    .select_from(Session)  # is locked first, as by the deletion of a session with its tokens
    .join(RefreshToken, _tokens.session_id == sessions.id)
    .where(_tokens.token_hash == bindparam("token_hash", type_=LargeBinary()))
    .with_for_update()
)
_UNUSED_REFRESH_TOKEN = Prepared(
    select_rows(RefreshToken).where(
        _tokens.session_id == KEY,
        _tokens.used_at.is_(None),
        _tokens.created_at > func.now() - bindparam("age", type_=Interval()),
    )
)
_END_SESSIONS = Prepared(
    update(Session)
    .where(
        sessions.user_id == KEY,
        sessions.ended_at.is_(None),
        sessions.id.is_distinct_from(bindparam("except_for", type_=Uuid())),
    )
    .values(ended_at=func.now(), network_hash=None)
)
_IS_LIVE = exists().where(
    _tokens.session_id == sessions.id, _tokens.expires_at > bindparam("moment", type_=DateTime(timezone=True))
)
EXPIRED_TOKENS = """
    WITH old AS (
        SELECT refresh_tokens.id, session_id FROM refresh_tokens JOIN sessions ON sessions.id = session_id
        WHERE refresh_tokens.id < $1 AND expires_at < now() - interval '1 hour'
        ORDER BY refresh_tokens.id LIMIT $2 FOR UPDATE SKIP LOCKED
    ),
    ended AS (
        DELETE FROM sessions WHERE id = ANY (ARRAY(SELECT session_id FROM old)) AND NOT EXISTS (
            SELECT FROM refresh_tokens WHERE session_id = sessions.id AND expires_at >= now() - interval '1 hour'
        )
    )
    DELETE FROM refresh_tokens WHERE id = ANY (ARRAY(SELECT id FROM old))
"""
"""A statement that deletes at most $2 tokens with keys before $1 that have expired, and sessions that have no other. An
hour later, nobody is about to use one of them."""
_FORGET_EXPIRED = Prepared(delete(Session).where(sessions.user_id == KEY, ~_IS_LIVE))


async def insert(work: UnitOfWork, values: Mapping[str, Any]) -> Record:
    """Insert a user; Conflict if the email is taken."""
    await _require_free(work, values["email"])
    with conflicts(_CONFLICTS):
        return await audit.insert(work, User, values)


async def update_user(work: UnitOfWork, user: Record, changes: Mapping[str, Any]) -> Record:
    """Change a locked user; Conflict if the email is taken."""
    if "email" in changes:
        await _require_free(work, changes["email"], except_of=user.id)
    with conflicts(_CONFLICTS):
        return await audit.update(work, User, user, changes)


async def _require_free(work: UnitOfWork, email: str, *, except_of: UUID | None = None) -> None:
    """Raise Conflict if another account has this address, with a domain that 2.0.0 kept in Unicode."""
    kept = email_in_unicode(email)
    other = None if kept == email else await work.first(_OTHER_WITH_EMAIL, email=kept)
    if other is not None and other.id != except_of:
        field, code, message = _CONFLICTS["uq_users_email"]
        raise Conflict((field,), code, message)


async def present_user(work: UnitOfWork, key: UUID) -> Record | None:
    """Return the user who is not deleted."""
    return await work.first(_FOUND, key=key)


async def locked_user(work: UnitOfWork, key: UUID) -> Record | None:
    """Return the user who is not deleted, locked. Sessions are locked after their user, never before."""
    return await work.first(_LOCKED, key=key)


async def locked_with_password(work: UnitOfWork, key: UUID) -> Record | None:
    """Return the user who is not deleted, locked, with the hash of the password."""
    return await work.first(_LOCKED_WITH_PASSWORD, key=key)


async def locked_for_deletion(
    work: UnitOfWork, viewer_id: UUID, session_id: UUID | None, key: UUID
) -> Mapping[UUID, Record]:
    """Return the viewer, unless their session has ended, and the user with this key, by their keys, in whose order they
    are locked: also against whatever they do meanwhile. Those who are deleted are left out."""
    asked: dict[str, Any] = {"keys": [viewer_id, key], "viewer_id": viewer_id, "session_id": session_id}
    return {user.id: user for user in await work.fetch(_LOCKED_FOR_DELETION, **asked)}


async def credentials_for_email(database: Database, email: str, network_hash: bytes) -> Credentials | None:
    """Return the credentials of the account with this email, read without a transaction."""
    emails = [email, email_in_unicode(email)]
    return await _credentials(database, _BY_EMAIL, emails=emails, network_hash=network_hash)


async def credentials_of(database: Database, key: UUID, network_hash: bytes) -> Credentials | None:
    """Return the credentials of the account with this key, read without a transaction."""
    return await _credentials(database, _OF_USER, user_id=key, network_hash=network_hash)


async def _credentials(database: Database, statement: Prepared, **values: Any) -> Credentials | None:
    row = await database.driver_row(statement.sql, statement.arguments(values))
    return None if row is None else Credentials(*row)


async def insert_session(work: UnitOfWork, user_id: UUID, network_hash: bytes) -> UUID:
    """Begin a session from this network, and return its key."""
    session = await rows.insert(work, Session, {"user_id": user_id, "network_hash": network_hash})
    key: UUID = session.id
    return key


async def update_session(work: UnitOfWork, key: UUID, changes: Mapping[str, Any]) -> None:
    """Change a locked session."""
    await rows.update(work, Session, key, changes)


async def insert_refresh_token(work: UnitOfWork, token: Mapping[str, Any]) -> None:
    """Insert a refresh token."""
    await rows.insert(work, RefreshToken, token)


async def use_refresh_token(work: UnitOfWork, key: UUID, moment: datetime) -> None:
    """Mark a locked refresh token as used at this moment."""
    await rows.update(work, RefreshToken, key, {"used_at": moment})


async def locked_refresh_token(work: UnitOfWork, token_hash: bytes) -> Record | None:
    """Return the session of a refresh token, with what is known of the token; both are locked so that it is used
    once."""
    return await work.first(_LOCKED_REFRESH_TOKEN, token_hash=token_hash)


async def unused_refresh_token(work: UnitOfWork, session_id: UUID, age: timedelta) -> Record | None:
    """Return the token of a locked session that is unused, as all but its newest are not, if it is no older than
    this."""
    return await work.first(_UNUSED_REFRESH_TOKEN, key=session_id, age=age)


async def password_hash_of(work: UnitOfWork, key: UUID) -> str | None:
    """Return the hash of the password of a user who is not deleted, as it is now."""
    found = await work.first(_PASSWORD, key=key)
    return None if found is None else str(found.password_hash)


async def end_sessions(work: UnitOfWork, user_id: UUID, except_for: UUID | None) -> None:
    """End every session of the user but this one. A thief may have begun them: the user is no longer known there."""
    await work.fetch(_END_SESSIONS, key=user_id, except_for=except_for)


async def forget_expired_sessions(work: UnitOfWork, user_id: UUID, now: datetime) -> None:
    """Delete the user's sessions of which every token has expired."""
    await work.fetch(_FORGET_EXPIRED, key=user_id, moment=now)
