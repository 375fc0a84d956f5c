"""The SQL of idempotency keys."""

from datetime import datetime

from sqlalchemy import delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.models import IdempotencyKey

_PRUNED_AT_ONCE = 10


async def claim(session: AsyncSession, scope: str, key: str, fingerprint: bytes) -> IdempotencyKey | None:
    """Insert the key, or return it with its response if it exists. Waits for a concurrent request that claimed it."""
    claimed = insert(IdempotencyKey).values(scope=scope, key=key, fingerprint=fingerprint)
    if await session.scalar(claimed.on_conflict_do_nothing().returning(IdempotencyKey.id)) is not None:
        return None
    found = select(IdempotencyKey).where(IdempotencyKey.scope == scope, IdempotencyKey.key == key)
    return (await session.scalars(found)).one()


async def keep(session: AsyncSession, scope: str, key: str, response: bytes) -> None:
    """Store the response of the request that claimed the key."""
    claimed = update(IdempotencyKey).where(IdempotencyKey.scope == scope, IdempotencyKey.key == key)
    await session.execute(claimed.values(response=response))


async def forget(session: AsyncSession, scope: str, key: str, expired_before: datetime) -> None:
    """Delete this key if it has expired, and a few other expired ones: each request deletes more keys than it adds,
    so no background job is needed."""
    expired = select(IdempotencyKey.id).where(IdempotencyKey.created_at < expired_before)
    this = expired.where(IdempotencyKey.scope == scope, IdempotencyKey.key == key)
    some = expired.order_by(IdempotencyKey.created_at).limit(_PRUNED_AT_ONCE).with_for_update(skip_locked=True)
    # A union, as a condition with OR would read every expired key. A CTE, as Postgres may run a subquery for each
    # row, with different results.
    found = IdempotencyKey.id.in_(this.union_all(select(some.cte("oldest").c.id)))
    await session.execute(delete(IdempotencyKey).where(found), execution_options={"synchronize_session": False})
