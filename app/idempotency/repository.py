"""The SQL of idempotency keys."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    DateTime,
    LargeBinary,
    Text,
    Uuid,
    and_,
    bindparam,
    delete,
    func,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql.dml import Insert, ReturningInsert, ReturningUpdate
from uuid_utils.compat import uuid7

from app.db.models import IdempotencyKey
from app.db.statements import Prepared, Record, table_of
from app.db.unit_of_work import UnitOfWork

UNIQUE = "uq_idempotency_keys_scope_key"
_keys = table_of(IdempotencyKey).c
_SCOPE, _KEY = bindparam("scope", type_=Text()), bindparam("key", type_=Text())
_GIVEN: dict[str, ColumnElement[Any]] = {
    "id": bindparam("key_id", type_=Uuid()),
    "scope": _SCOPE,
    "key": _KEY,
    "fingerprint": bindparam("fingerprint", type_=LargeBinary()),
}
_THIS = and_(_keys.scope == _SCOPE, _keys.key == _KEY)
_HAS_EXPIRED = _keys.created_at < bindparam("expired_before", type_=DateTime(timezone=True))
_RESPONSE = bindparam("response", type_=LargeBinary())


def _claiming() -> ReturningInsert[Any]:
    """Return the statement that inserts a key, with its response if that is known, unless there is one that hasn't
    expired, and returns its id."""
    new = insert(IdempotencyKey).values(**_GIVEN, response=_RESPONSE)
    anew = {name: new.excluded[name] for name in ("id", "fingerprint", "response", "order_id")}
    claimed = new.on_conflict_do_update(
        index_elements=["scope", "key"], set_={**anew, "created_at": func.now()}, where=_HAS_EXPIRED
    )
    return claimed.returning(_keys.id)


def _completing() -> ReturningUpdate[Any]:
    """Return the statement that stores the response of a key that has none yet, and returns its id. It need not wait
    for the disk: if it is lost, the response is made again."""
    lazily = func.set_config("synchronous_commit", "off", True)
    completed = update(IdempotencyKey).where(_THIS, _keys.response.is_(None)).values(response=_RESPONSE)
    return completed.returning(_keys.id, lazily)


_CLAIM = Prepared(_claiming())
_COMPLETE = Prepared(_completing())
_EARLIER = Prepared(select(_keys.fingerprint, _keys.response).where(_THIS))
_KEEP = Prepared(update(IdempotencyKey).where(_THIS).values(response=_RESPONSE))
_FORGET = Prepared(delete(IdempotencyKey).where(_THIS, _HAS_EXPIRED))


def known() -> CTE:
    """Return a part of a statement that finds the key, and whether it has expired."""
    columns = {name: _keys[name] for name in ("id", "fingerprint", "response", "order_id")}
    found = {**columns, "has_expired": _HAS_EXPIRED}
    return select(*(value.label(f"key_{name}") for name, value in found.items())).where(_THIS).cte("known")


def claimed_with(placed: CTE) -> Insert:
    """Return a part of a statement that claims the key for an order, if that is placed. If another request has claimed
    it, UNIQUE is violated, and nothing is done."""
    given = select(*(value.label(name) for name, value in _GIVEN.items()), placed.c.id)
    return insert(IdempotencyKey).from_select([*_GIVEN, "order_id"], given)


def claiming(scope: str, key: str, fingerprint: bytes, expired_before: datetime) -> Mapping[str, Any]:
    """Return the parameters of a statement that finds the key, or claims it."""
    given = {"scope": scope, "key": key, "fingerprint": fingerprint, "expired_before": expired_before}
    return {"key_id": uuid7(), **given}


async def claim(
    work: UnitOfWork, scope: str, key: str, fingerprint: bytes, expired_before: datetime, response: bytes | None = None
) -> Record | None:
    """Insert the key, or return its fingerprint and response if it exists and hasn't expired. Waits for a concurrent
    request that claimed it."""
    given = claiming(scope, key, fingerprint, expired_before)
    if await work.fetch(_CLAIM, **given, response=response):
        return None
    (earlier,) = await work.fetch(_EARLIER, scope=scope, key=key)
    return earlier


async def keep(work: UnitOfWork, scope: str, key: str, response: bytes) -> None:
    """Store the response of the request that claimed the key."""
    await work.fetch(_KEEP, scope=scope, key=key, response=response)


async def complete(work: UnitOfWork, scope: str, key: str, response: bytes) -> Record | None:
    """Store the response of the request that placed an order with the key; return what another request has stored
    meanwhile."""
    if await work.fetch(_COMPLETE, scope=scope, key=key, response=response):
        return None
    return await work.first(_EARLIER, scope=scope, key=key)


async def forget_expired(work: UnitOfWork, scope: str, key: str, expired_before: datetime) -> None:
    """Delete the key if it has expired."""
    await work.fetch(_FORGET, scope=scope, key=key, expired_before=expired_before)
