"""The clients in `examples/` do what they show, on a live server with the demo shop."""

import re
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.examples.clients import EXAMPLES, SCHEMA, Example, copy
from tests.servers import served
from tools.demo import seed_demo

FIRST = "Milk-last teapot (38.00 GBP), Tea cozy, cable knit (16.50 GBP)"
SECOND = "Second-opinion tea strainer (7.25 GBP), Milk-first teapot (38.00 GBP)"
PAGES = [f"Page: {FIRST}", f"Page: {SECOND}"]
GROWING_LIST = [f"List: {FIRST}", f"List: {FIRST}, {SECOND}"]
BEGUN = [
    "IncorrectCredentials: Wrong email, password, or token.",
    "Logged in: Cosmo Bellandi",
    "Logged in: Odile Marchand",
]
PLACED = "Order: PLACED, 54.50 GBP"
FAILURES = [
    "InsufficientStock: 24 of 10000 Milk-last teapot",
    "InvalidInput: input.items.0.quantity: must be at least 1",
    "NotFound: Product_00000000-0000-7000-8000-000000000000",
]
FOLLOWED = [
    "Followed: PLACED, 2 to fulfill",
    "Followed: PARTIALLY_FULFILLED, 1 to fulfill",
    "Followed: FULFILLED, 0 to fulfill",
    "InvalidTransition: FULFILLED",
]
RENEWED = "Renewed: the order is FULFILLED"


BOUGHT = text(
    "SELECT orders.status, quantity, name, stock, fulfilled_at IS NOT NULL"
    " FROM orders JOIN order_items ON order_id = orders.id JOIN products ON products.id = product_id"
    " WHERE orders.date >= :began ORDER BY name"
)
OUT_OF_OFFICE = """
\"\"\"Nobody is there to do it.\"\"\"
type OutOfOffice implements Error {
  message: String!
}
"""


def compiled(folder: Path, name: str) -> Example:
    example = copy(folder, name, SCHEMA)
    outcome = example.compile()
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    return example


async def lived(example: Example, engine: AsyncEngine, url: str, *story: str) -> None:
    """See that an example tells this of the demo shop, and that its order has been placed, once, and fulfilled."""
    await seed_demo(engine)
    began = datetime.now(UTC)
    outcome = example.run(url)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    assert outcome.stderr == ""
    told = re.sub(r"Product_(?!0000)[-\w]+", "Product_…", outcome.stdout)
    assert told.splitlines() == [*story]
    async with engine.connect() as connection:
        assert (await connection.execute(BOUGHT, {"began": began})).all() == [
            ("FULFILLED", 1, "Milk-last teapot", 24, True),
            ("FULFILLED", 1, "Tea cozy, cable knit", 32, True),
        ]


async def test_typed_documents_are_all_that_a_server_trusts(
    tmp_path: Path, committed_engine: AsyncEngine, database_url: str
) -> None:
    example = compiled(tmp_path, "typescript")
    with served(
        DATABASE_URL=database_url,
        LOG_LEVEL="warning",
        TRUSTED_DOCUMENTS="require",
        TRUSTED_DOCUMENTS_FILE=str(example.folder / "src" / "gql" / "persisted-documents.json"),
    ) as (_, url):
        answered_before = f"Replayed: {PLACED}"  # told by a header
        story = [*BEGUN, *PAGES, PLACED, answered_before, *FAILURES, *FOLLOWED, RENEWED]
        await lived(example, committed_engine, url, *story)
        refused = httpx2.post(f"{url}/graphql", json={"query": "{ viewer { id } }"}).json()
        assert refused["errors"][0]["extensions"]["code"] == "DOCUMENT_NOT_TRUSTED"


async def test_apollo_keeps_everything_once(tmp_path: Path, committed_engine: AsyncEngine, database_url: str) -> None:
    example = compiled(tmp_path, "apollo")
    cached = "In the cache: Milk-last teapot"
    story = [*BEGUN, *GROWING_LIST, cached, PLACED, PLACED, *FAILURES, *FOLLOWED, RENEWED]
    with served(DATABASE_URL=database_url, LOG_LEVEL="warning") as (_, url):
        await lived(example, committed_engine, url, *story)


async def test_relay_adds_a_placed_order_to_a_list_that_failures_leave_alone(
    tmp_path: Path, committed_engine: AsyncEngine, database_url: str
) -> None:
    example = compiled(tmp_path, "relay")
    listed, refetched = "In the list: PLACED, with 5 earlier ones", "Refetched: 24 Milk-last teapot"
    withdrawn = ["NotFound: Product_…", "In the store: Milk-last teapot", listed]
    story = [*BEGUN, *GROWING_LIST, PLACED, PLACED, listed, refetched, *FAILURES, *withdrawn, *FOLLOWED, RENEWED]
    with served(DATABASE_URL=database_url, LOG_LEVEL="warning") as (_, url):
        await lived(example, committed_engine, url, *story)


async def test_python_is_typed_as_well(tmp_path: Path, committed_engine: AsyncEngine, database_url: str) -> None:
    example = compiled(tmp_path, "python")
    story = [*BEGUN, *PAGES, PLACED, PLACED, *FAILURES, *FOLLOWED, RENEWED]
    with served(DATABASE_URL=database_url, LOG_LEVEL="warning") as (_, url):
        await lived(example, committed_engine, url, *story)


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("typescript", r"^(.*): error .* is not assignable to parameter of type 'never'"),
        ("apollo", r"^(.*): error .* is not assignable to parameter of type 'never'"),
        ("python", r'has incompatible type "(\w+OutOfOffice)'),
    ],
    ids=["typescript", "apollo", "python"],
)
def test_a_result_that_a_client_does_not_handle_breaks_its_build(tmp_path: Path, name: str, complaint: str) -> None:
    unions = ("LogInResult", "RefreshSessionResult", "PlaceOrderResult", "FulfillStoreOrderResult", "CancelOrderResult")
    more, number = re.subn(rf"(union ({'|'.join(unions)}) =)", r"\1 OutOfOffice |", SCHEMA)
    assert number == len(unions)

    outcome = copy(tmp_path, name, more + OUT_OF_OFFICE).compile()

    assert outcome.returncode != 0
    assert len(set(re.findall(complaint, outcome.stdout, re.MULTILINE))) == len(unions), outcome.stdout


def test_the_clients_keep_tokens_alike() -> None:
    """Each example can be copied by itself, so each has the file."""
    copies = [file.read_text() for file in sorted(EXAMPLES.glob("*/src/consistency.ts"))]
    assert len(copies) == 4
    assert len(set(copies)) == 1
