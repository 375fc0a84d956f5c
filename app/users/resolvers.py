"""The queries and mutations of users."""

import strawberry

from app.clients import network
from app.graphql.attempts import Attempt
from app.graphql.context import Context, Info
from app.graphql.mutations import mutation
from app.graphql.relations.connections import Connection
from app.graphql.relations.fields import lookup, pages, viewers_own
from app.products.repository import catalog as products
from app.security import passwords
from app.security.tokens import RefreshTokens
from app.security.viewer import Access, Viewer
from app.users import errors, repository, service
from app.users.inputs import DeleteUserInput, LogInInput, LogOutInput, RefreshSessionInput, SignUpInput, UpdateUserInput
from app.users.types import (
    DeleteUserResult,
    DeleteUserSuccess,
    IncorrectCredentials,
    LogInResult,
    LogInSuccess,
    LogOutResult,
    LogOutSuccess,
    RefreshSessionResult,
    RefreshSessionSuccess,
    Session,
    SignUpResult,
    SignUpSuccess,
    UpdateUserResult,
    UpdateUserSuccess,
    User,
)


@strawberry.type
class UserQueries:
    viewer: User | None = viewers_own(
        User, lambda _: repository.PRESENT_BY_KEY, "The user of the access token. Null if nobody is logged in."
    )
    user: User | None = lookup(User, "A user by ID, or null if there is none.")
    users: Connection[User] | None = pages(
        repository.everyone,
        "All users, oldest first. Superusers only; otherwise null with a `FORBIDDEN` error.",
        access=Access.SUPERUSER,
    )


async def _hash(_: Context, input: SignUpInput) -> str:
    return await passwords.hash_password(input.password)


async def _verify_log_in(context: Context, input: LogInInput) -> service.VerifiedPassword | None:
    services = context.services
    return await service.verify_log_in(services.database, input, _network(context), services.rate_limits.attempt_on)


async def _verify_update(context: Context, input: UpdateUserInput) -> service.VerifiedPassword | None:
    services, viewer = context.services, context.login.viewer
    if viewer is None:
        return None
    count_on = services.rate_limits.attempt_on
    return await service.verify_update(services.database, viewer, input, _network(context), count_on)


# A new email address shows whether it has an account.
_UPDATE_ATTEMPT = Attempt(_verify_update, fields=frozenset({"email", "password"}))


@strawberry.type
class UserMutations:
    @mutation(Access.UNIDENTIFIED, "Creates an account and logs in.", attempt=Attempt(_hash))
    async def sign_up(self, info: Info, input: SignUpInput) -> SignUpResult | None:
        context = info.context
        password_hash = context.prepared(info.path.key)
        login = await service.sign_up(context.work, input, password_hash, _network(context), _tokens(info))
        return SignUpSuccess(session=_session(info, login))

    @mutation(Access.UNIDENTIFIED, "Logs in with an email address and password.", attempt=Attempt(_verify_log_in))
    async def log_in(self, info: Info, input: LogInInput) -> LogInResult | None:
        context = info.context
        verified = context.prepared(info.path.key)
        login = await service.log_in(context.work, verified, _network(context), _tokens(info))
        return LogInSuccess(session=_session(info, login))

    @mutation(
        Access.UNIDENTIFIED,
        "Exchanges a refresh token for new tokens. Each refresh token works once. Using it again within 10 seconds "
        "returns the same new one, and later ends the session. Ignores an `Idempotency-Key`.",
        attempt=Attempt(),
        is_replayable=False,
    )
    async def refresh_session(self, info: Info, input: RefreshSessionInput) -> RefreshSessionResult | None:
        login = await service.refresh_session(
            info.context.work, input.refresh_token, _network(info.context), _tokens(info)
        )
        if login is None:  # not raised: that the session of a stolen token has ended must be committed
            return IncorrectCredentials.of(errors.IncorrectCredentials())
        return RefreshSessionSuccess(session=_session(info, login))

    @mutation(Access.UNIDENTIFIED, "Ends the session that a refresh token belongs to.", attempt=Attempt())
    async def log_out(self, info: Info, input: LogOutInput) -> LogOutResult | None:
        user_id = await service.log_out(info.context.work, input.refresh_token)
        if user_id is not None:
            info.context.act_as(Viewer(id=user_id))
        return LogOutSuccess(was_open=user_id is not None)

    @mutation(Access.LOGGED_IN, "Updates your account. Superusers can update any account.", attempt=_UPDATE_ATTEMPT)
    async def update_user(self, info: Info, input: UpdateUserInput) -> UpdateUserResult | None:
        context = info.context
        verified, own_session = context.prepared(info.path.key), context.login.session_id
        return UpdateUserSuccess(row=await service.update_user(*context.acting(), input, verified, own_session))

    @mutation(
        Access.LOGGED_IN,
        "Closes your account and its stores. Superusers can close any account.",
        confirms=True,
        points=products.points,
    )
    async def delete_user(self, info: Info, input: DeleteUserInput) -> DeleteUserResult | None:
        context = info.context
        return DeleteUserSuccess(row=await service.delete_user(*context.acting(), input.id, context.login.session_id))


def _network(context: Context) -> str:
    return network(context.request.address)


def _tokens(info: Info) -> RefreshTokens:
    return info.context.services.refresh_tokens


def _session(info: Info, issued: service.IssuedToken) -> Session:
    viewer = Viewer(id=issued.user.id, is_superuser=issued.user.is_superuser)
    access_token, expires_at = info.context.services.access_tokens.issue(viewer, issued.session_id)
    info.context.act_as(viewer)
    return Session(
        access_token=access_token, refresh_token=issued.refresh_token, expires_at=expires_at, user=User(row=issued.user)
    )
