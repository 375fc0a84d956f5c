"""The undocumented parts of SQLAlchemy that this API uses; a test fails if a new version moves them."""

from sqlalchemy import Connection, PoolProxiedConnection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool
from sqlalchemy.util.concurrency import in_greenlet

__all__ = ["connection_over", "in_greenlet", "put_back", "take_idle"]


def connection_over(engine: AsyncEngine, pooled: PoolProxiedConnection) -> AsyncConnection:
    """Wrap a connection that was taken from the pool without SQLAlchemy's greenlet, which costs 0.06 ms."""
    return AsyncConnection(engine, Connection(engine.sync_engine, connection=pooled))


def take_idle(pool: QueuePool) -> ConnectionPoolEntry | None:
    """Take an idle connection from the pool, to be put back; None if there is none. It has no proxy and causes no
    events, which take 0.03 ms, and isn't reset."""
    return pool._do_get() if pool.checkedin() else None


def put_back(pool: QueuePool, entry: ConnectionPoolEntry) -> None:
    """Put back what was taken."""
    pool._do_return_conn(entry)
