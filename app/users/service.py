"""The rules of accounts and sessions."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import func
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import recording as audit
from app.contacts import normalized_email
from app.db.models import RefreshToken, Session, User
from app.errors import NO_ACCOUNT, Forbidden, InputIssue, InputIssueCode, InvalidInput, NotFound, Unauthenticated
from app.security import passwords
from app.security.tokens import new_refresh_token, refresh_token_hash
from app.security.viewer import Viewer, is_self_or_superuser
from app.stores.service import delete_stores_of
from app.users import repository
from app.users.errors import IncorrectCredentials
from app.users.inputs import LogInInput, SignUpInput, UpdateUserInput


@dataclass(frozen=True)
class IssuedToken:
    """A refresh token that continues a session, and the user it was issued to."""

    user: User
    session_id: UUID
    refresh_token: str


async def create_user(session: AsyncSession, account: SignUpInput, *, is_superuser: bool = False) -> User:
    """Create an account; Conflict if the email is already in use."""
    user = User(
        email=account.email,
        full_name=account.full_name,
        password_hash=await passwords.hash_password(account.password),
        is_superuser=is_superuser,
    )
    await repository.save(session, user)
    _note(session, user.id, "password")
    return user


async def sign_up(session: AsyncSession, account: SignUpInput, lifetime: timedelta) -> IssuedToken:
    """Create an account and begin its first session."""
    return await _begin_session(session, await create_user(session, account), lifetime)


async def log_in(session: AsyncSession, given: LogInInput, lifetime: timedelta) -> IssuedToken:
    """Begin a session; IncorrectCredentials after the same time whether or not the account exists."""
    address = normalized_email(given.email)
    user = None if address is None else await repository.user_to_log_in(session, address)
    is_right = await passwords.verify_password(user.password_hash if user else None, given.password)
    if user is None or not is_right:
        raise IncorrectCredentials
    await _lock_verified(session, user, given.password)
    if passwords.needs_rehash(user.password_hash):
        user.password_hash = await passwords.hash_password(given.password)
    await repository.forget_expired_sessions(session, user.id, datetime.now(UTC))
    return await _begin_session(session, user, lifetime)


async def refresh_session(session: AsyncSession, token: str, lifetime: timedelta) -> IssuedToken | None:
    """Exchange a refresh token for the next one. None, not a failure, if it isn't valid: a token used twice has been
    stolen, and the end of its session must be committed."""
    found = await repository.locked_refresh_token(session, refresh_token_hash(token))
    if found is None:
        return None
    refresh_token, login = found
    now = datetime.now(UTC)
    if refresh_token.used_at is not None and login.ended_at is None:
        login.ended_at = now
        _note(session, login.user_id, "sessions")
    if login.ended_at is not None or refresh_token.expires_at <= now:
        return None
    refresh_token.used_at = now
    user = await repository.present_user(session, login.user_id)
    return None if user is None else await _next_token(session, user, login, lifetime)


async def log_out(session: AsyncSession, token: str) -> bool:
    """End the session of a refresh token; return whether it was still open."""
    found = await repository.locked_refresh_token(session, refresh_token_hash(token))
    if found is None or found[1].ended_at is not None:
        return False
    found[1].ended_at = datetime.now(UTC)
    _note(session, found[1].user_id, "sessions")
    return True


async def update_user(
    session: AsyncSession, viewer: Viewer, update: UpdateUserInput, current_session: UUID | None
) -> User:
    """Change an account. A new email or password requires the viewer's own current password; a new password ends every
    session of the account but the current one."""
    user = _managed(await repository.locked_user(session, update.id), viewer, update.id)
    changes = update.given("id", "current_password")
    if "password" in changes or changes.get("email", user.email) != user.email:
        await _require_current_password(session, viewer, update)
    if "password" in changes:
        changes["password_hash"] = await passwords.hash_password(changes.pop("password"))
        _note(session, user.id, "password")
        await _end_sessions(session, user.id, except_for=current_session)
    for name, value in changes.items():
        setattr(user, name, value)
    await repository.save(session, user)
    return user


async def _require_current_password(session: AsyncSession, viewer: Viewer, update: UpdateUserInput) -> None:
    """Raise InvalidInput unless the input has the viewer's current password."""
    path = ("currentPassword",)
    if update.current_password is None:
        message = "is required to change the email address or password"
        raise InvalidInput([InputIssue(path, InputIssueCode.REQUIRED, message)])
    password_hash = await repository.password_hash_of(session, viewer.id)
    if not await passwords.verify_password(password_hash, update.current_password):
        raise InvalidInput([InputIssue(path, InputIssueCode.WRONG, "is not your current password")])


async def delete_user(session: AsyncSession, viewer: Viewer, key: UUID) -> User:
    """Close an account, its sessions and its stores; Unauthenticated if the viewer's own account is closed.

    Both accounts are locked at once, in one order: two viewers who first confirmed their own account and then closed
    the other's would wait for each other."""
    present = await repository.locked_for_deletion(session, viewer.id, key)
    if viewer.id not in present:
        raise Unauthenticated(NO_ACCOUNT)
    confirmed = Viewer(id=viewer.id, is_superuser=present[viewer.id].is_superuser)
    user = _managed(present.get(key), confirmed, key)
    user.deleted_at = func.now()
    await repository.save(session, user)
    await _end_sessions(session, key)
    await delete_stores_of(session, key)
    return user


def _managed(user: User | None, viewer: Viewer, key: UUID) -> User:
    """Return the user; NotFound where there is none, Forbidden where the viewer may not manage the account."""
    if user is None:
        raise NotFound("User", key)
    if not is_self_or_superuser(viewer, key):
        raise Forbidden("Only the account's own user and superusers may change it.")
    return user


async def _lock_verified(session: AsyncSession, user: User, password: str) -> None:
    """Lock the account; IncorrectCredentials where it was closed, or its password changed, during verification."""
    verified = user.password_hash
    await repository.lock_account(session, user)
    is_right = user.password_hash == verified or await passwords.verify_password(user.password_hash, password)
    if user.deleted_at is not None or not is_right:
        raise IncorrectCredentials


async def _end_sessions(session: AsyncSession, user_id: UUID, except_for: UUID | None = None) -> None:
    await repository.end_sessions(session, user_id, except_for)
    _note(session, user_id, "sessions")


async def _begin_session(session: AsyncSession, user: User, lifetime: timedelta) -> IssuedToken:
    login = Session(user_id=user.id)
    session.add(login)
    await session.flush()
    return await _next_token(session, user, login, lifetime)


async def _next_token(session: AsyncSession, user: User, login: Session, lifetime: timedelta) -> IssuedToken:
    token = new_refresh_token()
    expires_at = datetime.now(UTC) + lifetime
    session.add(RefreshToken(session_id=login.id, token_hash=refresh_token_hash(token), expires_at=expires_at))
    await session.flush()
    _note(session, user.id, "sessions")
    return IssuedToken(user=user, session_id=login.id, refresh_token=token)


def _note(session: AsyncSession, user_id: UUID, field: str) -> None:
    audit.note(session, audit.Change("User", user_id, (field,)))
