"""What is deleted once it is old: declared here once, for the command, the server, the metrics and the docs."""

from dataclasses import dataclass
from datetime import timedelta

from app.db.models import AuditEntry, Base, Event, IdempotencyKey, RefreshToken
from app.db.statements import table_of
from app.events.repository import OLD_BATCHES
from app.idempotency.service import KEPT
from app.settings import Settings
from app.users.repository import EXPIRED_TOKENS


@dataclass(frozen=True)
class Kind:
    """What is deleted by the age of its key, which is a UUIDv7."""

    name: str
    """As the command, the metrics and the docs call it."""
    model: type[Base]
    kept: timedelta | str
    """For how long, or the setting that has the number of days; without a value, forever."""
    batch: str = ""
    """A statement that deletes at most $2 rows with keys before $1; by default, the oldest of the table."""
    before: str = ""
    """A statement of the same kind that is repeated first, until it deletes nothing."""
    period: timedelta | None = None
    """What each partition of the table spans, if it is partitioned: all of it is kept, or nothing."""

    @property
    def table(self) -> str:
        """The name of its table."""
        return table_of(self.model).name

    @property
    def rule(self) -> str:
        """How long it is kept, as the docs say it."""
        more = f", and up to {self.period.days} days more" if self.period else ""
        if isinstance(self.kept, timedelta):
            return f"{self.kept // timedelta(hours=1)} hours{more}"
        forever = "" if Settings.model_fields[self.kept].default else "; by default, forever"
        return f"`{self.kept.upper()}`{more}{forever}"

    @property
    def statement(self) -> str:
        """The statement that deletes at most $2 rows with keys before $1."""
        return self.batch or _oldest(self.table)

    def age(self, settings: Settings) -> timedelta | None:
        """Return for how long it is kept; None forever."""
        if isinstance(self.kept, timedelta):
            return self.kept
        days = getattr(settings, self.kept)
        return None if days is None else timedelta(days=days)


def _oldest(table: str) -> str:
    # Both parts have the condition, so that neither looks into partitions of later times.
    return f"""
        WITH old AS (SELECT id FROM {table} WHERE id < $1 ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED)
        DELETE FROM {table} WHERE id < $1 AND id = ANY (ARRAY(SELECT id FROM old))
    """  # noqa: S608  # our names


KINDS = (
    Kind("refresh tokens", RefreshToken, "refresh_token_days", batch=EXPIRED_TOKENS),
    Kind("idempotency keys", IdempotencyKey, KEPT),
    Kind("events", Event, "events_retention_days", before=OLD_BATCHES, period=timedelta(days=7)),
    Kind("audit entries", AuditEntry, "audit_retention_days", period=timedelta(days=28)),
)
LOGS = {kind.table: kind.period for kind in KINDS if kind.period is not None}
"""The partitioned tables, with what a partition of each spans."""
