"""The dataloaders of stores."""

from uuid import UUID

from aiodataloader import DataLoader

from app.db.unit_of_work import UnitOfWork
from app.graphql.relations.dataloaders import ConnectionLoader, Visible, reference_loader
from app.stores import repository
from app.stores.types import Store

VISIBLE_STORE = Visible(repository.visible_by_key, Store.from_row)


def store(work: UnitOfWork) -> DataLoader[UUID, Store]:
    """Load the stores that rows refer to, deleted or not."""
    return reference_loader(work, repository.BY_KEY, Store.from_row)


def stores_of_user(work: UnitOfWork) -> ConnectionLoader[repository.StoreCriteria, Store]:
    """Load the stores that users own."""
    return ConnectionLoader(work, repository.listing, repository.owned_by, Store.from_row)
