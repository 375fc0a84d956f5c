"""The SQL of idempotency keys."""

from datetime import datetime
from typing import Any

from sqlalchemy import DateTime, LargeBinary, Text, Uuid, and_, bindparam, delete, func, not_, select, update
from sqlalchemy.dialects.postgresql import insert
from uuid_utils.compat import uuid7

from app.db.models import IdempotencyKey
from app.db.statements import Prepared, Record, table_of
from app.db.unit_of_work import UnitOfWork

_PRUNED_AT_ONCE = 10
_keys = table_of(IdempotencyKey).c
_SCOPE, _KEY = bindparam("scope", type_=Text()), bindparam("key", type_=Text())
_THIS = and_(_keys.scope == _SCOPE, _keys.key == _KEY)


def _claiming() -> Prepared:
    """Return the statement that inserts a key unless there is one that hasn't expired, and returns its id. It deletes a
    few other expired ones: each request deletes more keys than it adds, so no background job is needed."""
    has_expired = _keys.created_at < bindparam("expired_before", type_=DateTime(timezone=True))
    others = select(_keys.id).where(has_expired, not_(_THIS)).order_by(_keys.created_at).limit(_PRUNED_AT_ONCE)
    # A CTE, as Postgres may run a subquery for each row, with different results.
    oldest = others.with_for_update(skip_locked=True).cte("oldest")
    pruned = delete(IdempotencyKey).where(_keys.id.in_(select(oldest.c.id))).cte("pruned")
    given: Any = {"id": bindparam("id", type_=Uuid()), "fingerprint": bindparam("fingerprint", type_=LargeBinary())}
    new = insert(IdempotencyKey).values(scope=_SCOPE, key=_KEY, **given)
    anew = {"id": new.excluded.id, "fingerprint": new.excluded.fingerprint, "response": None, "created_at": func.now()}
    claimed = new.on_conflict_do_update(index_elements=["scope", "key"], set_=anew, where=has_expired)
    return Prepared(claimed.returning(_keys.id).add_cte(pruned))


_CLAIM = _claiming()
_EARLIER = Prepared(select(_keys.fingerprint, _keys.response).where(_THIS))
_KEEP = Prepared(update(IdempotencyKey).where(_THIS).values(response=bindparam("response", type_=LargeBinary())))


async def claim(work: UnitOfWork, scope: str, key: str, fingerprint: bytes, expired_before: datetime) -> Record | None:
    """Insert the key, or return its fingerprint and response if it exists and hasn't expired. Waits for a concurrent
    request that claimed it."""
    given = {"id": uuid7(), "scope": scope, "key": key, "fingerprint": fingerprint, "expired_before": expired_before}
    if await work.fetch(_CLAIM, **given):
        return None
    (earlier,) = await work.fetch(_EARLIER, scope=scope, key=key)
    return earlier


async def keep(work: UnitOfWork, scope: str, key: str, response: bytes) -> None:
    """Store the response of the request that claimed the key."""
    await work.fetch(_KEEP, scope=scope, key=key, response=response)
