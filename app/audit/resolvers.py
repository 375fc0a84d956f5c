"""The query of the audit trail."""

from typing import Annotated

import strawberry
from strawberry import UNSET

from app.audit import repository
from app.audit.types import AuditEntry, AuditFilter
from app.graphql.context import Info
from app.graphql.relations.connections import Connection, Window, connection, paged
from app.graphql.relations.meaning import Pages
from app.security.viewer import Access, require


@strawberry.type
class AuditQueries:
    @paged(
        "The audit trail, the latest first: for superusers; FORBIDDEN for anyone else.",
        Pages(
            repository.choose,
            lambda _, criteria: repository.listing(criteria),
            access=Access.SUPERUSER,
        ),
    )
    def audit_entries(
        self,
        info: Info,
        window: Window,
        filter: Annotated[AuditFilter | None, strawberry.argument(description="Only entries like this.")] = UNSET,
    ) -> Connection[AuditEntry]:
        require(Access.SUPERUSER, info.context.known_viewer())
        criteria, ordering = repository.choose(filter)
        page = window.on(ordering(criteria))
        return connection(info.context.work, repository.listing(criteria), page, AuditEntry.from_row)
