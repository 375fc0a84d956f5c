"""Users as GraphQL shows them."""

from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

import strawberry
from sqlalchemy import Row
from strawberry import UNSET

from app.db import models
from app.graphql import lazy
from app.graphql.context import Info
from app.graphql.errors import Conflict, IncorrectCredentials, InvalidInput, NotFound
from app.graphql.ids import global_id
from app.graphql.node import Node
from app.graphql.relations.connections import (
    Connection,
    Window,
    empty_connection,
    paged,
)
from app.graphql.relations.meaning import Pages, Scalar, in_sql
from app.orders import repository as orders
from app.security.viewer import is_self_or_superuser
from app.stores import repository as stores


@strawberry.type(description="An account: a customer, the owner of stores, or a superuser.")
class User(Node):
    key: strawberry.Private[UUID]
    known_email: strawberry.Private[str]
    full_name: str = strawberry.field(description="The name of the person.")
    is_superuser: bool = strawberry.field(description="Whether this user may do everything.")
    created_at: datetime = strawberry.field(description="When the account was created.")
    updated_at: datetime = strawberry.field(description="When the account was last changed.")

    @strawberry.field(
        description="The email address; null unless it is you, or you are a superuser.",
        metadata=in_sql(
            Scalar(lambda user: user.email, shown=lambda viewer, user: is_self_or_superuser(viewer, user.id))
        ),
    )
    def email(self, info: Info) -> str | None:
        return self.known_email if info.context.shows(self.key) else None

    @paged(
        "The stores that this user owns, the oldest first.",
        Pages(stores.choose, lambda _, criteria: stores.listing(criteria), stores.owned_by),
    )
    def stores(
        self,
        info: Info,
        window: Window,
    ) -> Connection[lazy.Store]:
        criteria, ordering = stores.choose()
        page = window.on(ordering(criteria))
        return info.context.loaders.stores_of_user.connection(self.key, page, criteria)

    @paged(
        "What this user ordered, the latest first: for yourself and superusers; empty for anyone else.",
        Pages(
            orders.choose,
            lambda _, criteria: orders.listing(criteria),
            orders.placed_by,
            shown=lambda viewer, user: is_self_or_superuser(viewer, user.id),
        ),
    )
    def orders(
        self,
        info: Info,
        window: Window,
        filter: Annotated[lazy.OrderFilter | None, strawberry.argument(description="Only orders like this.")] = UNSET,
    ) -> Connection[lazy.Order]:
        criteria, ordering = orders.choose(filter)
        page = window.on(ordering(criteria))
        if not info.context.shows(self.key):
            return empty_connection(page)
        return info.context.loaders.orders_of_user.connection(self.key, page, criteria)

    @classmethod
    def from_row(cls, row: Row[Any] | models.User) -> Self:
        """Make a user of a row or of an entity."""
        return cls(
            id=global_id("User", row.id),
            key=row.id,
            known_email=row.email,
            full_name=row.full_name,
            is_superuser=row.is_superuser,
            created_at=row.created_at,
            updated_at=row.updated_at,
        )


@strawberry.type(description="A login: the tokens of a user who has just been let in.")
class Session:
    access_token: str = strawberry.field(
        description="Send it with every request, as `Authorization: Bearer …`, until it expires."
    )
    refresh_token: str = strawberry.field(
        description="Good for one `refreshSession`, which gives the next one. Using it twice ends the login."
    )
    expires_at: datetime = strawberry.field(description="When the access token expires.")
    user: User = strawberry.field(description="Who was let in.")


@strawberry.type(description="An account was closed.")
class UserDeleted:
    id: strawberry.ID = strawberry.field(description="The id of the user who is gone.")


@strawberry.input(description="A new account.")
class SignUpInput:
    email: str = strawberry.field(description="The email address to log in with; unique, whatever its case.")
    password: str = strawberry.field(description="8 to 200 characters.")
    full_name: str = strawberry.field(description="The name of the person, up to 200 characters.")


@strawberry.input(description="Who wants to be let in.")
class LogInInput:
    email: str = strawberry.field(description="The email address of the account.")
    password: str = strawberry.field(description="Its password.")


@strawberry.input(description="Changes to an account. A field that is left out stays as it is; null is refused.")
class UpdateUserInput:
    id: strawberry.ID = strawberry.field(description="The user to change: yourself, or anyone if you are a superuser.")
    email: str | None = strawberry.field(default=UNSET, description="The new email address.")
    full_name: str | None = strawberry.field(default=UNSET, description="The new name.")
    password: str | None = strawberry.field(
        default=UNSET, description="The new password, 8 to 200 characters. It ends every login of this user."
    )


SignUpResult = Annotated[
    Session | Conflict | InvalidInput, strawberry.union("SignUpResult", description="What signUp may answer.")
]
LogInResult = Annotated[
    Session | IncorrectCredentials, strawberry.union("LogInResult", description="What logIn may answer.")
]
RefreshSessionResult = Annotated[
    Session | IncorrectCredentials,
    strawberry.union("RefreshSessionResult", description="What refreshSession may answer."),
]
UpdateUserResult = Annotated[
    User | NotFound | Conflict | InvalidInput,
    strawberry.union("UpdateUserResult", description="What updateUser may answer."),
]
DeleteUserResult = Annotated[
    UserDeleted | NotFound, strawberry.union("DeleteUserResult", description="What deleteUser may answer.")
]
