"""The SQL of users and their sessions."""

from collections.abc import Mapping, Sequence, Set
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
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
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import undefer

from app.contacts import email_in_unicode
from app.db.engine import Database
from app.db.models import USER_WORDS, RefreshToken, Session, User
from app.db.pagination import Collection, Ordering
from app.db.statements import Prepared, conflicts, matches, select_all, table_of, unindexed, with_key_in_array
from app.db.unit_of_work import UnitOfWork
from app.errors import Conflict, ConflictCode
from app.inputs import Sort
from app.security.viewer import Viewer
from app.users.inputs import UserFilter

users, sessions = table_of(User).c, table_of(Session).c

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


async def save(session: AsyncSession, user: User) -> None:
    """Insert or update the user; Conflict if the email is taken."""
    if await _is_taken_in_unicode(session, user):
        field, code, message = _CONFLICTS["uq_users_email"]
        raise Conflict((field,), code, message)
    session.add(user)
    with conflicts(_CONFLICTS):
        await session.flush()


async def _is_taken_in_unicode(session: AsyncSession, user: User) -> bool:
    """Return whether another account has this address, with a domain that 2.0.0 kept in Unicode."""
    kept = email_in_unicode(user.email)
    if kept == user.email:
        return False
    with session.no_autoflush:
        found = select(User.id).where(User.email == kept, User.id != user.id, User.deleted_at.is_(None))
        return await session.scalar(found) is not None


async def present_user(session: AsyncSession, key: UUID) -> User | None:
    """Return the user who is not deleted."""
    return await session.scalar(select(User).where(User.id == key, User.deleted_at.is_(None)))


async def locked_user(session: AsyncSession, key: UUID) -> User | None:
    """Return the user who is not deleted, locked. Sessions are locked after their user, never before."""
    found = select(User).where(User.id == key, User.deleted_at.is_(None)).with_for_update(key_share=True)
    return await session.scalar(found.execution_options(populate_existing=True))


async def locked_with_password(session: AsyncSession, key: UUID) -> User | None:
    """Return the user who is not deleted, locked, with the hash of the password."""
    found = select(User).where(User.id == key, User.deleted_at.is_(None)).with_for_update(key_share=True)
    return await session.scalar(found.options(undefer(User.password_hash)))


async def locked_for_deletion(
    session: AsyncSession, viewer_id: UUID, session_id: UUID | None, key: UUID
) -> Mapping[UUID, User]:
    """Return the viewer, unless their session has ended, and the user with this key, by their keys, in whose order they
    are locked: also against whatever they do meanwhile. Those who are deleted are left out."""
    found = select(User).where(User.id.in_((viewer_id, key)), User.deleted_at.is_(None)).order_by(User.id)
    found = found.where(or_(User.id != viewer_id, _IN_SESSION)).with_for_update()
    options = {"populate_existing": True}
    rows = await session.scalars(found.execution_options(**options), {"session_id": session_id})
    return {user.id: user for user in rows}


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


async def locked_refresh_token(session: AsyncSession, token_hash: bytes) -> tuple[RefreshToken, Session] | None:
    """Return the refresh token and its session, locked so that it is used once."""
    statement = (
        select(RefreshToken, Session)
        .select_from(Session)  # is locked first, as by the deletion of a session with its tokens
        .join(RefreshToken, RefreshToken.session_id == Session.id)
        .where(RefreshToken.token_hash == token_hash)
        .with_for_update()
    )
    row = (await session.execute(statement)).one_or_none()
    return None if row is None else (row[0], row[1])


async def unused_refresh_token(session: AsyncSession, session_id: UUID, age: timedelta) -> RefreshToken | None:
    """Return the token of a locked session that is unused, as all but its newest are not, if it is no older than
    this."""
    unused = select(RefreshToken).where(RefreshToken.session_id == session_id, RefreshToken.used_at.is_(None))
    return await session.scalar(unused.where(RefreshToken.created_at > func.now() - age))


async def password_hash_of(session: AsyncSession, key: UUID) -> str | None:
    """Return the hash of the password of a user who is not deleted, as it is now."""
    return await session.scalar(select(User.password_hash).where(User.id == key, User.deleted_at.is_(None)))


async def end_sessions(session: AsyncSession, user_id: UUID, except_for: UUID | None) -> None:
    """End every session of the user but this one. A thief may have begun them: the user is no longer known there."""
    live = update(Session).where(Session.user_id == user_id, Session.ended_at.is_(None))
    if except_for is not None:
        live = live.where(Session.id != except_for)
    await session.execute(live.values(ended_at=func.now(), network_hash=None))


async def forget_expired_sessions(session: AsyncSession, user_id: UUID, now: datetime) -> None:
    """Delete the user's sessions of which every token has expired."""
    live = exists().where(RefreshToken.session_id == Session.id, RefreshToken.expires_at > now)
    await session.execute(delete(Session).where(Session.user_id == user_id, ~live))
