"""The dataloader of the audit trail."""

from uuid import UUID

from aiodataloader import DataLoader

from app.audit import repository
from app.audit.types import AuditEntry
from app.database import UnitOfWork
from app.graphql.dataloaders import row_loader
from app.security.viewer import Viewer


def visible_audit_entry(work: UnitOfWork, viewer: Viewer | None) -> DataLoader[UUID, AuditEntry | None]:
    """Load the entries that the viewer may look up."""
    return row_loader(work, repository.visible_by_key(viewer), AuditEntry.from_row)
