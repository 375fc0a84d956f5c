"""The database of the benchmarks: filled once, kept between runs, and restored after every order."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
from alembic.script import ScriptDirectory
from sqlalchemy import make_url

from app.db.migrations import alembic_config
from app.security.tokens import AccessTokens
from app.security.viewer import Viewer
from app.settings import ROOT
from app.users.demo import CUSTOMER as CUSTOMER_ACCOUNT
from app.users.demo import SUPERUSER as SUPERUSER_ACCOUNT
from benchmarks import processes
from benchmarks.scenarios import CASES, CUSTOMER, SUPERUSER, World
from benchmarks.servers import SECRET_KEY
from benchmarks.sql import READS, dsn_of
from tools.bulk import TODAY, Size

_OURS = "orders-api benchmark:"
_ORDERS_MADE = f"""
    WITH made AS (SELECT id FROM orders WHERE date > '{TODAY.isoformat()}'),
    items AS (DELETE FROM order_items USING made WHERE order_id = made.id),
    parts AS (DELETE FROM store_orders USING made WHERE order_id = made.id),
    gone AS (DELETE FROM orders USING made WHERE orders.id = made.id RETURNING 1)
    SELECT count(*) FROM gone
"""


class Database:
    """A filled database, and the connection of the benchmark to it."""

    def __init__(self, url: str, connection: Any) -> None:
        self.url = url
        self._connection = connection

    async def world(self) -> World:
        """Return what requests are made of."""
        orders = await self._connection.fetch(
            "SELECT id::text FROM orders WHERE deleted_at IS NULL ORDER BY md5(id::text) LIMIT $1", CASES
        )
        products = await self._connection.fetch(
            "SELECT id::text, name FROM products WHERE stock IS NULL AND deleted_at IS NULL ORDER BY id"
        )
        tokens = {
            CUSTOMER: await self._token(CUSTOMER_ACCOUNT.email),
            SUPERUSER: await self._token(SUPERUSER_ACCOUNT.email, is_superuser=True),
        }
        return World(tokens, tuple(row["id"] for row in orders), {row["id"]: row["name"] for row in products})

    async def customers(self, number: int) -> list[str]:
        """Return the access tokens of so many customers."""
        accounts = await self._connection.fetch(
            "SELECT email FROM users WHERE email LIKE 'customer%' ORDER BY id LIMIT $1", number
        )
        return [await self._token(account["email"]) for account in accounts]

    async def expected(self, scenario: str, *keys: str) -> str:
        """Return the right answer to a scenario that reads, as JSON."""
        return str(await self._connection.fetchval(READS[scenario], *map(UUID, keys)))

    async def forget_orders(self) -> int:
        """Delete the orders placed since the database was filled, and return how many they were."""
        made = int(await self._connection.fetchval(_ORDERS_MADE))
        if made:
            await self._connection.execute("DELETE FROM audit_entries")
            for table in ("orders", "store_orders", "order_items", "audit_entries"):
                await self._connection.execute(f"VACUUM (ANALYZE) {table}")
        return made

    async def version(self) -> str:
        """Return the version of Postgres."""
        return str(await self._connection.fetchval("SHOW server_version"))

    async def postmaster(self) -> int | None:
        """Return the process of Postgres that all others are children of, if it runs on this machine."""
        backend = await self._connection.fetchval("SELECT pg_backend_pid()")
        parent = processes.parent(backend)
        return parent if parent and processes.program(parent) == processes.program(backend) == "postgres" else None

    async def _token(self, email: str, *, is_superuser: bool = False) -> str:
        key = await self._connection.fetchval("SELECT id FROM users WHERE email = $1", email)
        await self._connection.execute("INSERT INTO sessions (id, user_id) VALUES ($1, $1) ON CONFLICT DO NOTHING", key)
        tokens = AccessTokens((SECRET_KEY,), lifetime=timedelta(days=1))
        return tokens.issue(Viewer(id=UUID(str(key)), is_superuser=is_superuser), session_id=UUID(str(key)))[0]


@asynccontextmanager
async def opened(server_url: str, name: str, size: Size) -> AsyncIterator[Database]:
    """Yield the database of this name on a server, filled with this size."""
    url = make_url(server_url).set(database=name).render_as_string(hide_password=False)
    await _fill_once(server_url, url, name, size)
    connection = await asyncpg.connect(dsn_of(url))
    try:
        database = Database(url, connection)
        await database.forget_orders()  # those of a run that was interrupted
        yield database
        await database.forget_orders()
    finally:
        await connection.close()


async def _fill_once(server_url: str, url: str, name: str, size: Size) -> None:
    """Fill the database, unless its comment says that this has been done. Recreate it if its size or schema differs."""
    head = ScriptDirectory.from_config(alembic_config(url)).get_current_head()
    filled = f"{_OURS} {size.stores} stores, {size.products} products, {size.orders} orders, schema {head}"
    server = await asyncpg.connect(dsn_of(server_url))
    try:
        comment = await server.fetchval(
            "SELECT coalesce(shobj_description(oid, 'pg_database'), '') FROM pg_database WHERE datname = $1", name
        )
        if comment == filled:
            return
        if comment is not None and not comment.startswith(_OURS):
            raise RuntimeError(f"The database {name} is not one that benchmarks made: choose another server.")
        await server.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        await server.execute(f'CREATE DATABASE "{name}"')
        await server.execute(f"COMMENT ON DATABASE \"{name}\" IS '{_OURS} being filled'")
        await _seed(url, size)
        await server.execute(f"COMMENT ON DATABASE \"{name}\" IS '{filled}'")
    finally:
        await server.close()


async def _seed(url: str, size: Size) -> None:
    options = ("--stores", size.stores, "--products", size.products, "--orders", size.orders)
    command = (sys.executable, "-m", "app", "seed", *map(str, options))
    seeding = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, env={**os.environ, "DATABASE_URL": url, "DATABASE_DIRECT_URL": ""}
    )
    if await seeding.wait():
        raise RuntimeError(f"{' '.join(command)} failed")
