"""The queries and mutations of users."""

from datetime import timedelta
from typing import Annotated, Any

import strawberry

from app.graphql.context import Info
from app.graphql.errors import incorrect_credentials
from app.graphql.ids import key_of
from app.graphql.mutations import given, mutation
from app.graphql.relations.connections import Connection, Window, connection, paged
from app.graphql.relations.meaning import Lookup, Pages, in_sql
from app.security.viewer import Access, Viewer, require
from app.users import repository, service
from app.users.types import (
    DeleteUserResult,
    LogInInput,
    LogInResult,
    RefreshSessionResult,
    Session,
    SignUpInput,
    SignUpResult,
    UpdateUserInput,
    UpdateUserResult,
    User,
    UserDeleted,
)

UserId = Annotated[strawberry.ID, strawberry.argument(description="The id of the user.")]
RefreshToken = Annotated[str, strawberry.argument(description="The refresh token of the login.")]


@strawberry.type
class UserQueries:
    @strawberry.field(
        description="Who you are: the user of the access token; null when nobody is logged in.",
        metadata=in_sql(Lookup(lambda _: repository.PRESENT_BY_KEY, lambda viewer: viewer and viewer.id)),
    )
    async def viewer(self, info: Info) -> User | None:
        context = info.context
        if context.viewer is None:
            return context.seen(None)
        return await context.loaders.account.load(context.viewer.id)

    @strawberry.field(
        description="A user by id; null where there is none.",
        metadata=in_sql(Lookup(repository.visible_by_key, lambda _, id: key_of("User", "id", id))),
    )
    async def user(self, info: Info, id: UserId) -> User | None:
        return info.context.seen(await info.context.loaders.visible_user.load(key_of("User", "id", id)))

    @paged(
        "All users, the oldest first: for superusers; FORBIDDEN for anyone else.",
        Pages(
            repository.choose,
            lambda _, criteria: repository.listing(criteria),
            access=Access.SUPERUSER,
        ),
    )
    def users(
        self,
        info: Info,
        window: Window,
    ) -> Connection[User]:
        require(Access.SUPERUSER, info.context.known_viewer())
        criteria, ordering = repository.choose()
        page = window.on(ordering(criteria))
        return connection(info.context.work, repository.listing(criteria), page, User.from_row)


@strawberry.type
class UserMutations:
    @mutation(Access.ANYONE, "Create an account and log in.", is_attempt=True)
    async def sign_up(
        self,
        info: Info,
        input: Annotated[dict[str, Any], given(SignUpInput, "The new account.")],
    ) -> SignUpResult:
        return _session(info, await service.sign_up(info.context.session, input, _lifetime(info)))

    @mutation(Access.ANYONE, "Log in with email and password.", is_attempt=True)
    async def log_in(
        self, info: Info, input: Annotated[dict[str, Any], given(LogInInput, "Who wants in.")]
    ) -> LogInResult:
        login = await service.log_in(info.context.session, input["email"], input["password"], _lifetime(info))
        return _session(info, login)

    @mutation(Access.ANYONE, "Get new tokens for a refresh token, which is used up by it.")
    async def refresh_session(self, info: Info, refresh_token: RefreshToken) -> RefreshSessionResult:
        login = await service.refresh_session(info.context.session, refresh_token, _lifetime(info))
        return incorrect_credentials() if login is None else _session(info, login)

    @mutation(Access.ANYONE, "Log out: end the login of a refresh token. False where it had ended already.")
    async def log_out(self, info: Info, refresh_token: RefreshToken) -> bool:
        return await service.log_out(info.context.session, refresh_token)

    @mutation(Access.LOGGED_IN, "Change your account, or anyone's if you are a superuser.")
    async def update_user(
        self,
        info: Info,
        input: Annotated[dict[str, Any], given(UpdateUserInput, "What to change.")],
    ) -> UpdateUserResult:
        key = key_of("User", "input.id", input.pop("id"))
        return User.from_row(await service.update_user(info.context.session, info.context.known_viewer(), key, input))

    @mutation(
        Access.LOGGED_IN,
        "Close your account, or anyone's if you are a superuser, and its stores with it.",
        confirms=True,
    )
    async def delete_user(self, info: Info, id: UserId) -> DeleteUserResult:
        key = key_of("User", "id", id)
        await service.delete_user(info.context.session, info.context.known_viewer(), key)
        return UserDeleted(id=id)


def _lifetime(info: Info) -> timedelta:
    return timedelta(days=info.context.settings.refresh_token_days)


def _session(info: Info, login: service.Login) -> Session:
    viewer = Viewer(id=login.user.id, is_superuser=login.user.is_superuser)
    access_token, expires_at = info.context.access_tokens.issue(viewer)
    info.context.act_as(viewer)
    return Session(
        access_token=access_token,
        refresh_token=login.refresh_token,
        expires_at=expires_at,
        user=User.from_row(login.user),
    )
