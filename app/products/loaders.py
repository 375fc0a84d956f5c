"""The dataloaders of products."""

from uuid import UUID

from aiodataloader import DataLoader

from app.db.unit_of_work import UnitOfWork
from app.graphql.relations.dataloaders import ConnectionLoader, Visible, reference_loader
from app.products import repository
from app.products.types import Product

VISIBLE_PRODUCT = Visible(repository.visible_by_key, Product.from_row)


def product(work: UnitOfWork) -> DataLoader[UUID, Product]:
    """Load the products that rows refer to, deleted or not."""
    return reference_loader(work, repository.BY_KEY, Product.from_row)


def products_of_store(work: UnitOfWork) -> ConnectionLoader[repository.ProductCriteria, Product]:
    """Load the products that stores sell."""
    return ConnectionLoader(work, repository.listing, repository.sold_by, Product.from_row)
