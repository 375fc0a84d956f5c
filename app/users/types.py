"""Users as GraphQL shows them."""

from datetime import datetime
from typing import Annotated, Any

import strawberry

from app.db import models
from app.graphql import lazy
from app.graphql.failures import Conflict, Error, InvalidInput, NotFound, failure, result
from app.graphql.node import Node, OfRow, node, shows
from app.graphql.relations.connections import Connection, Edge
from app.graphql.relations.fields import column, edge, identifier, itself, pages
from app.orders import repository as orders
from app.security.viewer import Viewer, is_self_or_superuser
from app.stores import repository as stores
from app.users import errors, repository


def self_or_superuser(viewer: Viewer | None, user: Any) -> Any:
    """Return whether the viewer is this user, or a superuser; of columns, a condition."""
    return is_self_or_superuser(viewer, user.id)


@node(models.User, repository.visible_by_key, "An account: a customer, a store owner, or a superuser.")
class User(Node):
    email: str | None = column(
        models.User.email,
        "Email address. Null unless it is your own account or you are a superuser.",
        visible=self_or_superuser,
    )
    full_name: str = column(models.User.full_name, "Full name of the user.")
    is_superuser: bool = column(
        models.User.is_superuser, "Whether the user is a superuser, who can see and change everything."
    )
    created_at: datetime = column(models.User.created_at, "When the account was created.")
    updated_at: datetime = column(models.User.updated_at, "When the account was last changed.")
    stores: Connection[lazy.Store] = pages(
        stores.catalog, "Stores that the user owns, oldest first.", within=models.Store.owner_id, arguments=()
    )
    orders: Connection[lazy.Order] | None = pages(
        orders.everyones,
        "Orders that the user placed, newest first. Null unless it is your own account or you are a superuser.",
        within=models.Order.customer_id,
        visible=self_or_superuser,
        arguments=("filter",),
    )


@strawberry.type(description="A login session and its tokens.")
class Session:
    access_token: str = strawberry.field(
        description=("Token that authenticates requests until it expires. Send it as `Authorization: Bearer …`.")
    )
    refresh_token: str = strawberry.field(description="Single-use token for `refreshSession`, which returns a new one.")
    expires_at: datetime = strawberry.field(description="When the access token expires.")
    user: User = strawberry.field(description="The user who logged in.")


@failure(
    errors.IncorrectCredentials, "The email, password, or token is wrong. The response deliberately doesn't say which."
)
class IncorrectCredentials(Error):
    pass


@strawberry.type
class SessionPayload:
    session: Session | None = strawberry.field(description="The session and its tokens.")


@strawberry.type(description="The account was created.")
class SignUpSuccess(SessionPayload):
    pass


@strawberry.type(description="The session was begun.")
class LogInSuccess(SessionPayload):
    pass


@strawberry.type(description="The session continues with new tokens.")
class RefreshSessionSuccess(SessionPayload):
    pass


@strawberry.type(description="The session has ended.")
class LogOutSuccess:
    was_open: bool | None = strawberry.field(
        description="Whether the session was still open. False if it had already ended, or never existed."
    )


@shows(models.User, "The account was updated.")
class UpdateUserSuccess(OfRow):
    user: User | None = itself(models.User, "The user.")
    user_edge: Edge[User] | None = edge(repository.everyone, "The user as an item of `users`.")


@shows(models.User, "The account was closed.")
class DeleteUserSuccess(OfRow):
    deleted_user_id: strawberry.ID | None = identifier("User", "ID of the closed account.")


SignUpResult = Annotated[SignUpSuccess | Conflict | InvalidInput, result("signUp")]
LogInResult = Annotated[LogInSuccess | IncorrectCredentials, result("logIn")]
RefreshSessionResult = Annotated[RefreshSessionSuccess | IncorrectCredentials, result("refreshSession")]
LogOutResult = Annotated[LogOutSuccess, result("logOut")]
UpdateUserResult = Annotated[UpdateUserSuccess | NotFound | Conflict | InvalidInput, result("updateUser")]
DeleteUserResult = Annotated[DeleteUserSuccess | NotFound, result("deleteUser")]
