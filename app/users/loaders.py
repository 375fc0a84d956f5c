"""The dataloaders of users."""

from uuid import UUID

from aiodataloader import DataLoader

from app.db.unit_of_work import UnitOfWork
from app.graphql.relations.dataloaders import Visible, reference_loader, row_loader
from app.security.viewer import Viewer
from app.users import repository
from app.users.types import User

VISIBLE_USER = Visible(repository.visible_by_key, User.from_row)


def user(work: UnitOfWork) -> DataLoader[UUID, User]:
    """Load the users that rows refer to, deleted or not."""
    return reference_loader(work, repository.BY_KEY, User.from_row)


def account(work: UnitOfWork) -> DataLoader[UUID, User | None]:
    """Load users who are not deleted."""
    return row_loader(work, repository.PRESENT_BY_KEY, User.from_row)


async def confirmed_viewer(work: UnitOfWork, viewer: Viewer) -> Viewer | None:
    """Return the viewer with the rights of now, None where the account is deleted; it cannot be until the transaction
    ends."""
    users = await work.fetch(repository.ACTING, viewer_id=viewer.id)
    return Viewer(id=viewer.id, is_superuser=users[0].is_superuser) if users else None
