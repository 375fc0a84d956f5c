"""What clients send about accounts."""

from app.inputs import Email, Input, Line, Password, UserId, optional, required


class SignUpInput(Input):
    """An account to create."""

    email: Email = required("Email address to log in with. Must be unique, ignoring case.")
    password: Password = required("Password, 8 to 200 characters.")
    full_name: Line = required("Full name of the user, 1 to 200 characters.")


class LogInInput(Input):
    """Credentials of an account."""

    email: str = required("Email address of the account.")
    password: str = required("Password of the account.")


class UpdateUserInput(Input):
    """Changes to an account. Omitted fields keep their value. Null is rejected."""

    id: UserId = required("ID of the user to update: yourself, or any user if you are a superuser.")
    email: Email = optional("New email address. Must be unique, ignoring case.")
    full_name: Line = optional("New full name, 1 to 200 characters.")
    password: Password = optional("New password, 8 to 200 characters. Ends all sessions of the user.")
