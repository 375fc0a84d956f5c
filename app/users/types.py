"""Users as GraphQL shows them."""

from datetime import datetime
from typing import Annotated, Any

import strawberry

from app.db import models
from app.graphql import lazy
from app.graphql.failures import Conflict, Error, InvalidInput, NotFound, failure, result
from app.graphql.node import Node, node
from app.graphql.relations.connections import Connection
from app.graphql.relations.fields import column, pages
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
    orders: Connection[lazy.Order] = pages(
        orders.everyones,
        "Orders that the user placed, newest first. Visible to the user and superusers; empty for everyone else.",
        within=models.Order.customer_id,
        visible=self_or_superuser,
        arguments=("filter",),
    )


@strawberry.type(description="A login session and its tokens.")
class Session:
    access_token: str = strawberry.field(
        description=("Token that authenticates requests until it expires. Send it as `Authorization: Bearer …`.")
    )
    refresh_token: str = strawberry.field(
        description=("Single-use token for `refreshSession`, which returns a new one. Using it twice ends the session.")
    )
    expires_at: datetime = strawberry.field(description="When the access token expires.")
    user: User = strawberry.field(description="The user who logged in.")


@strawberry.type(description="Confirmation that an account was closed.")
class UserDeleted:
    id: strawberry.ID = strawberry.field(description="ID of the closed account.")


@failure(
    errors.IncorrectCredentials, "The email, password, or token is wrong. The response deliberately doesn't say which."
)
class IncorrectCredentials(Error):
    pass


SignUpResult = Annotated[Session | Conflict | InvalidInput, result("signUp")]
LogInResult = Annotated[Session | IncorrectCredentials, result("logIn")]
RefreshSessionResult = Annotated[Session | IncorrectCredentials, result("refreshSession")]
UpdateUserResult = Annotated[User | NotFound | Conflict | InvalidInput, result("updateUser")]
DeleteUserResult = Annotated[UserDeleted | NotFound, result("deleteUser")]
