"""The queries and mutations of users."""

from datetime import timedelta
from typing import Annotated

import strawberry

from app.graphql.arguments import key_of
from app.graphql.context import Info
from app.graphql.mutations import mutation
from app.graphql.relations.connections import Connection
from app.graphql.relations.fields import lookup, pages, viewers_own
from app.security.viewer import Access, Viewer
from app.users import errors, repository, service
from app.users.inputs import LogInInput, SignUpInput, UpdateUserInput
from app.users.types import (
    DeleteUserResult,
    IncorrectCredentials,
    LogInResult,
    RefreshSessionResult,
    Session,
    SignUpResult,
    UpdateUserResult,
    User,
    UserDeleted,
)

UserId = Annotated[strawberry.ID, strawberry.argument(description="ID of the user.")]
TokenToExchange = Annotated[str, strawberry.argument(description="The refresh token to exchange.")]
TokenToEnd = Annotated[str, strawberry.argument(description="The refresh token of the session to end.")]


@strawberry.type
class UserQueries:
    viewer: User | None = viewers_own(
        User, lambda _: repository.PRESENT_BY_KEY, "The user of the access token. Null if nobody is logged in."
    )
    user: User | None = lookup(User, "A user by ID, or null if there is none.")
    users: Connection[User] = pages(
        repository.everyone,
        "All users, oldest first. Superusers only; otherwise a `FORBIDDEN` error.",
        access=Access.SUPERUSER,
        arguments=(),
    )


@strawberry.type
class UserMutations:
    @mutation(Access.ANYONE, "Creates an account and logs in.", is_attempt=True)
    async def sign_up(self, info: Info, input: SignUpInput) -> SignUpResult:
        return _session(info, await service.sign_up(info.context.session, input, _lifetime(info)))

    @mutation(Access.ANYONE, "Logs in with an email address and password.", is_attempt=True)
    async def log_in(self, info: Info, input: LogInInput) -> LogInResult:
        return _session(info, await service.log_in(info.context.session, input, _lifetime(info)))

    @mutation(Access.ANYONE, "Exchanges a refresh token for new tokens. Each refresh token works once.")
    async def refresh_session(self, info: Info, refresh_token: TokenToExchange) -> RefreshSessionResult:
        login = await service.refresh_session(info.context.session, refresh_token, _lifetime(info))
        # Not raised: that the session of a stolen token has ended must be committed.
        return _session(info, login) if login else IncorrectCredentials.of(errors.IncorrectCredentials())

    @mutation(
        Access.ANYONE,
        "Ends the session that a refresh token belongs to. Returns false if the session had already ended.",
    )
    async def log_out(self, info: Info, refresh_token: TokenToEnd) -> bool:
        return await service.log_out(info.context.session, refresh_token)

    @mutation(Access.LOGGED_IN, "Updates your account. Superusers can update any account.")
    async def update_user(self, info: Info, input: UpdateUserInput) -> UpdateUserResult:
        return User(row=await service.update_user(*info.context.acting(), input))

    @mutation(Access.LOGGED_IN, "Closes your account and its stores. Superusers can close any account.", confirms=True)
    async def delete_user(self, info: Info, id: UserId) -> DeleteUserResult:
        await service.delete_user(*info.context.acting(), key_of("User", "id", id))
        return UserDeleted(id=id)


def _lifetime(info: Info) -> timedelta:
    return timedelta(days=info.context.services.settings.refresh_token_days)


def _session(info: Info, issued: service.IssuedToken) -> Session:
    viewer = Viewer(id=issued.user.id, is_superuser=issued.user.is_superuser)
    access_token, expires_at = info.context.services.access_tokens.issue(viewer)
    info.context.act_as(viewer)
    return Session(
        access_token=access_token, refresh_token=issued.refresh_token, expires_at=expires_at, user=User(row=issued.user)
    )
