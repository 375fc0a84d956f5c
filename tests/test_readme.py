"""The README tells the truth."""

import re

from sqlalchemy.ext.asyncio import AsyncEngine

from app.settings import ROOT, Settings
from app.users.demo import DEMO_ACCOUNTS, DEMO_PASSWORD
from tests.documented import check
from tools.demo import seed_demo

README = (ROOT / "README.md").read_text()


def test_every_setting_is_in_the_table() -> None:
    rows = re.findall(r"^\| `(\w+)` \| .* \| (.*) \|$", README, re.MULTILINE)
    assert rows == [(name.upper(), field.description) for name, field in Settings.model_fields.items()]


def test_the_demo_accounts_are_named() -> None:
    assert f"`{DEMO_PASSWORD}`" in README
    for account in DEMO_ACCOUNTS:
        assert f"`{account.email}`" in README


async def test_every_request_is_answered_as_written(committed_engine: AsyncEngine, database_url: str) -> None:
    await seed_demo(committed_engine)
    answers = await check(ROOT / "README.md", Settings(database_url=database_url))
    (ordered,) = [answer["data"]["placeOrder"] for answer in answers if "placeOrder" in answer["data"]]
    assert ordered["__typename"] == "PlaceOrderSuccess"
