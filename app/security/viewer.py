"""The viewer of a request, and who may do what."""

from dataclasses import dataclass
from enum import Enum
from uuid import UUID

from app.errors import Forbidden, Unauthenticated


@dataclass(frozen=True, slots=True)
class Viewer:
    """The authenticated user of a request, according to its access token."""

    id: UUID
    is_superuser: bool = False


class Access(Enum):
    """Who may call a root field at all; rules about rows apply in addition."""

    UNIDENTIFIED = "unidentified"
    """Anyone, as nobody: the token is ignored, because the input says who it is."""
    ANYONE = "anyone"
    LOGGED_IN = "logged in"
    SUPERUSER = "superuser"


def require(access: Access, viewer: Viewer | None) -> None:
    """Raise Unauthenticated or Forbidden unless the viewer may call the field."""
    if access in (Access.UNIDENTIFIED, Access.ANYONE):
        return
    if not logged_in(viewer).is_superuser and access is Access.SUPERUSER:
        raise Forbidden("Only a superuser may do this.")


def is_self_or_superuser(viewer: Viewer | None, user_id: UUID) -> bool:
    """Return whether the viewer is this user or a superuser; given a column of user ids, a condition in SQL."""
    return viewer is not None and (viewer.is_superuser or viewer.id == user_id)


def logged_in(viewer: Viewer | None) -> Viewer:
    """Return the viewer; Unauthenticated if nobody is logged in."""
    if viewer is None:
        raise Unauthenticated("You must be logged in for this.")
    return viewer
