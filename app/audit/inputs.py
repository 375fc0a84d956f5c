"""What clients send about the audit trail."""

from app.inputs import AnyId, DateTimeRange, Filter, SearchText, UserId, optional


class AuditFilter(Filter):
    """Filters for audit entries. All fields must match; omitted or null fields are ignored."""

    actor_id: UserId | None = optional("Changes made by this user.")
    entity_id: AnyId | None = optional("Changes to the object with this global ID.")
    created_at: DateTimeRange | None = optional("Changes made within this range.")
    operation: SearchText = optional("Changes made by this mutation, such as `placeOrder`.")
