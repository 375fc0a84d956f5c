"""The query of the audit trail."""

from typing import Annotated

import strawberry
from strawberry import UNSET

from app.audit import repository
from app.audit.types import AuditEntry, AuditFilter
from app.graphql.connections import After, Before, Connection, First, Last, connection, requested_page
from app.graphql.context import Info
from app.graphql.meaning import Pages, in_sql
from app.security.viewer import Access, require


@strawberry.type
class AuditQueries:
    @strawberry.field(
        description="The audit trail, the latest first: for superusers; FORBIDDEN for anyone else.",
        metadata=in_sql(
            Pages(
                repository.choose,
                lambda _, criteria: repository.listing(criteria),
                access=Access.SUPERUSER,
            )
        ),
    )
    def audit_entries(
        self,
        info: Info,
        first: First = UNSET,
        after: After = UNSET,
        last: Last = UNSET,
        before: Before = UNSET,
        filter: Annotated[AuditFilter | None, strawberry.argument(description="Only entries like this.")] = UNSET,
    ) -> Connection[AuditEntry]:
        require(Access.SUPERUSER, info.context.known_viewer())
        criteria, ordering = repository.choose(filter)
        page = requested_page(ordering(criteria), first, after, last, before)
        return connection(info.context.work, repository.listing(criteria), page, AuditEntry.from_row)
