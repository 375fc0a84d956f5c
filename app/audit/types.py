"""The audit trail as GraphQL shows it."""

from datetime import datetime

import strawberry

from app.audit import repository
from app.db import models
from app.graphql import lazy
from app.graphql.context import Info
from app.graphql.node import Node, is_node, node
from app.graphql.relations.fields import column, computed, reference


@node(
    models.AuditEntry,
    repository.visible_by_key,
    "A record of a change made by a mutation: who made it, when, and which fields changed. Visible to superusers only.",
)
class AuditEntry(Node):
    actor: lazy.User | None = reference(
        models.AuditEntry.actor_id, "The user who made the change. Null if nobody was logged in."
    )
    created_at: datetime = column(models.AuditEntry.created_at, "When the change was made.")
    operation: str = column(
        models.AuditEntry.operation, "The mutation field that made the change, such as `placeOrder`."
    )
    entity_id: strawberry.ID | None = computed(
        models.AuditEntry,
        repository.entity_global_id,
        "Global ID of the changed object. Null only in entries that version 2.0.0 made of mutations that changed "
        "nothing.",
    )

    @strawberry.field(description="The changed object. Null if there is none, or it can't be looked up any more.")
    async def entity(self, info: Info) -> Node | None:
        row = self.row
        if row.entity_id is None or not is_node(row.entity_type):
            return None
        node: Node | None = await info.context.loaders.node(row.entity_type).load(row.entity_id)
        return node

    fields: list[str] = column(models.AuditEntry.fields, "Names of the changed fields, never their values.")
    request_id: str = column(
        models.AuditEntry.request_id, "ID of the request that made the change, as it appears in the logs."
    )
