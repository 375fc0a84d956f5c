"""The accounts of the demo shop, whose password everybody knows."""

from typing import Any, NamedTuple

import asyncpg
from sqlalchemy import make_url

from app.db.engine import connect
from app.security import passwords

DEMO_PASSWORD = "open-sesame"  # noqa: S105 - not secret: commands print it

_PATIENCE_SECONDS = 5.0


class DemoAccount(NamedTuple):
    """An account to log in with, using DEMO_PASSWORD."""

    email: str
    full_name: str
    role: str


SUPERUSER = DemoAccount("superuser@example.com", "Sunniva Overgaard", "superuser")
OWNER = DemoAccount("owner@example.com", "Odile Marchand", "store owner")
CUSTOMER = DemoAccount("customer@example.com", "Cosmo Bellandi", "customer")
DEMO_ACCOUNTS = (SUPERUSER, OWNER, CUSTOMER)


async def demo_accounts_in(url: str) -> list[str]:
    """Return the email addresses of demo accounts in the database that still have DEMO_PASSWORD; none before its first
    migration."""
    connection: Any = await connect(make_url(url), "start", _PATIENCE_SECONDS)
    try:
        statement = "SELECT email, password_hash FROM users WHERE email = ANY ($1::text[]) AND deleted_at IS NULL"
        found = await connection.fetch(statement, [account.email for account in DEMO_ACCOUNTS])
    except asyncpg.UndefinedTableError:
        return []
    finally:
        connection.terminate()
    return [email for email, password_hash in found if await passwords.verify_password(password_hash, DEMO_PASSWORD)]
