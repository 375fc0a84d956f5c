"""Who is asking, and what that lets them do."""

from dataclasses import dataclass
from enum import Enum
from uuid import UUID

from app.errors import Forbidden, Unauthenticated


@dataclass(frozen=True, slots=True)
class Viewer:
    """The logged-in user of a request, as the access token tells."""

    id: UUID
    is_superuser: bool = False


class Access(Enum):
    """Who may call an operation at all; each row's own rules come on top."""

    ANYONE = "anyone"
    LOGGED_IN = "logged in"
    SUPERUSER = "superuser"


def require(access: Access, viewer: Viewer | None) -> None:
    """Raise Unauthenticated or Forbidden where the viewer may not call the operation."""
    if access is Access.ANYONE:
        return
    if not logged_in(viewer).is_superuser and access is Access.SUPERUSER:
        raise Forbidden("Only a superuser may do this.")


def is_self_or_superuser(viewer: Viewer | None, user_id: UUID) -> bool:
    """Tell whether the viewer is this user, or may do all; of a column of users' ids, as a condition in SQL."""
    return viewer is not None and (viewer.is_superuser or viewer.id == user_id)


def logged_in(viewer: Viewer | None) -> Viewer:
    """Return the viewer; Unauthenticated where there is none."""
    if viewer is None:
        raise Unauthenticated("You must be logged in for this.")
    return viewer
