"""The audit trail as GraphQL shows it."""

from datetime import datetime
from typing import Any, Self
from uuid import UUID

import strawberry
from sqlalchemy import Row
from strawberry import UNSET

from app.audit import repository
from app.db import models
from app.graphql import lazy
from app.graphql.arguments import or_none, text
from app.graphql.ids import global_id, global_id_in_sql, optional_key_of, parse_global_id
from app.graphql.node import Node
from app.graphql.relations.fields import loaded
from app.graphql.relations.meaning import Reference, Scalar, in_sql


@strawberry.type(description="That a mutation changed something: who did it, when, and which fields. For superusers.")
class AuditEntry(Node):
    actor_key: strawberry.Private[UUID | None]
    created_at: datetime = strawberry.field(description="When it was done.")
    operation: str = strawberry.field(description="The mutation's field, such as `placeOrder`.")
    entity_id: strawberry.ID | None = strawberry.field(
        description="The global id of what was changed; null where the mutation found nothing to change.",
        metadata=in_sql(Scalar(lambda entry: global_id_in_sql(entry.entity_type, entry.entity_id))),
    )
    fields: list[str] = strawberry.field(description="The names of the fields that were changed, never their values.")
    request_id: str = strawberry.field(description="The request that did it, as the logs know it.")

    actor: lazy.User | None = loaded(
        lambda loaders, entry: None if entry.actor_key is None else loaders.user.load(entry.actor_key),
        "Who did it; null where nobody was logged in.",
        Reference(models.User, lambda entry: entry.actor_id),
    )

    @classmethod
    def from_row(cls, row: Row[Any]) -> Self:
        """Make an entry of a row."""
        return cls(
            id=global_id("AuditEntry", row.id),
            actor_key=row.actor_id,
            created_at=row.created_at,
            operation=row.operation,
            entity_id=row.entity_id and global_id(row.entity_type, row.entity_id),
            fields=row.fields,
            request_id=row.request_id,
        )


@strawberry.input(description="Which entries; a field that is left out or null does not restrict.")
class AuditFilter:
    actor_id: strawberry.ID | None = strawberry.field(default=UNSET, description="By this user.")
    entity_id: strawberry.ID | None = strawberry.field(default=UNSET, description="That changed what has this id.")
    operation: str | None = strawberry.field(default=UNSET, description="Of this mutation, such as `placeOrder`.")

    def criteria(self) -> repository.AuditCriteria:
        """Return the filter as the repository knows it."""
        entity_id = or_none(self.entity_id)
        entity_type, entity_key = (None, None) if entity_id is None else parse_global_id("filter.entityId", entity_id)
        return repository.AuditCriteria(
            actor_id=optional_key_of("User", "filter.actorId", self.actor_id),
            entity_type=entity_type,
            entity_id=entity_key,
            operation=text("filter.operation", self.operation),
        )
