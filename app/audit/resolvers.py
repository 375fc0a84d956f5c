"""The query of the audit trail."""

import strawberry

from app.audit import repository
from app.audit.types import AuditEntry
from app.graphql.relations.connections import Connection
from app.graphql.relations.fields import pages
from app.security.viewer import Access


@strawberry.type
class AuditQueries:
    audit_entries: Connection[AuditEntry] | None = pages(
        repository.trail,
        "The audit trail, newest entries first. Superusers only; otherwise null with a `FORBIDDEN` error.",
        access=Access.SUPERUSER,
    )
