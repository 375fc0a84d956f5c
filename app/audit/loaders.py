"""The dataloader of the audit trail."""

from app.audit import repository
from app.audit.types import AuditEntry
from app.graphql.relations.dataloaders import Visible

VISIBLE_ENTRY = Visible(repository.visible_by_key, AuditEntry.from_row)
