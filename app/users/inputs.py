"""What clients send about accounts."""

from typing import Annotated

from pydantic import Field

from app.inputs import Email, Filter, Input, Line, Password, SearchText, UserId, optional, required


class SignUpInput(Input):
    """An account to create."""

    email: Email = required("Email address to log in with. Must be unique, ignoring case.")
    password: Password = required("Password, 8 to 200 characters.")
    full_name: Line = required("Full name of the user, 1 to 255 characters.")


class LogInInput(Input):
    """Credentials of an account."""

    email: str = required("Email address of the account.")
    password: str = required("Password of the account.")


class RefreshSessionInput(Input):
    """A session to continue."""

    refresh_token: str = required("The refresh token to exchange.")


class LogOutInput(Input):
    """A session to end."""

    refresh_token: str = required("The refresh token of the session.")


class DeleteUserInput(Input):
    """An account to close."""

    id: UserId = required("ID of the user.")


class UserFilter(Filter):
    """Filters for users. All fields must match; omitted or null fields are ignored."""

    search: SearchText = optional(
        "Words to find in the full name or the email address. Every word must match the beginning of a word, ignoring "
        "case and accents."
    )


class UpdateUserInput(Input):
    """Changes to an account. Omitted fields keep their value. Null is rejected."""

    id: UserId = required("ID of the user to update: yourself, or any user if you are a superuser.")
    email: Email = optional("New email address. Must be unique, ignoring case. Requires `currentPassword`.")
    full_name: Line = optional("New full name, 1 to 255 characters.")
    password: Password = optional(
        "New password, 8 to 200 characters. Ends all other sessions of the user. Requires `currentPassword`."
    )
    current_password: Annotated[str, Field(repr=False)] = optional(
        "Your own current password. Required to change an email address or a password: also somebody else's, if you "
        "are a superuser."
    )
