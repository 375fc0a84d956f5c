"""The README tells the truth."""

import json
import re

from sqlalchemy.ext.asyncio import AsyncEngine

from app.dev.demo import DEMO_ACCOUNTS, DEMO_PASSWORD, seed_demo
from app.errors import RequestError
from app.settings import ROOT, Settings
from tests.api import Api

README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_every_setting_is_in_the_table() -> None:
    rows = re.findall(r"^\| `(\w+)` \| .* \| (.*) \|$", README, re.MULTILINE)
    assert rows == [(name.upper(), field.description) for name, field in Settings.model_fields.items()]


def test_the_demo_accounts_are_named() -> None:
    assert f"`{DEMO_PASSWORD}`" in README
    for account in DEMO_ACCOUNTS:
        assert f"`{account.email}`" in README


def test_every_target_it_names_is_in_the_makefile() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"make (\w+)", README)) - {"and"} <= targets


def test_every_module_of_the_map_exists() -> None:
    (house,) = re.findall(r"## The house\n\n```\n(.*?)```", README, re.DOTALL)
    for name in re.findall(r"^  (\w+(?:\.py|/))", house, re.MULTILINE):
        assert (ROOT / "app" / name).exists(), name


def test_every_code_of_a_request_error_is_named() -> None:
    for kind in RequestError.__subclasses__():
        assert kind.code in README


async def test_the_first_query_and_mutations_answer_as_written(
    committed_api: Api, committed_engine: AsyncEngine
) -> None:
    await seed_demo(committed_engine)
    query, log_in, place_order = blocks("graphql")
    found, session = (json.loads(block)["data"] for block in blocks("json"))

    assert await committed_api.data(query) == found

    answered = (await committed_api.data(log_in))["logIn"]
    assert answered["user"] == session["logIn"]["user"]

    (product,) = (await committed_api.data('{ products(filter: {search: "creme"}) { nodes { id } } }'))["products"][
        "nodes"
    ]
    written = re.sub(r"Product_[^\"]*", product["id"], place_order)
    response = await committed_api.send(written, headers={"Authorization": f"Bearer {answered['accessToken']}"})
    order = response.json()["data"]["placeOrder"]
    assert order["__typename"] == "Order"
    assert order["totals"] == [found["products"]["nodes"][0]["price"]]
