"""What the compiler declines because of the client's mistake is declined quietly; the resolver path reports it."""

import pytest
from structlog.testing import capture_logs

from tests.market import Market
from tests.paths import Paths

# Each variable may be null where it is declared, and must not be where it is used.
DIRECTIVES = [
    "query ($w: Boolean = false) { products(first: 1) { nodes { id @include(if: $w) } } }",
    "query ($w: Boolean = false) { products(first: 1) @skip(if: $w) { nodes { id } } }",
    "query ($w: Boolean = false) { products(first: 1) { ... @include(if: $w) { totalCount } } }",
    "query ($w: Boolean = false) { products(first: 1) { nodes { ...F @skip(if: $w) } } } fragment F on Product { id }",
    "query ($w: Boolean = false) { stores(first: 1) { nodes { owner { fullName @include(if: $w) } } } }",
]
ARGUMENTS = [
    ('query ($id: ID = "x") { product(id: $id) { id } }', {"id": None}),
    ("query ($id: ID!) { product(id: $id) { id } }", {"id": "x"}),
    ("query ($ids: [ID!] = []) { nodes(ids: $ids) { id } }", {"ids": None}),
    ("query ($first: Int) { products(first: $first) { nodes { id } } }", {"first": 1_000}),
    ("query ($after: String) { products(after: $after) { nodes { id } } }", {"after": "?"}),
    ("query ($by: ProductSortField = PRICE) { products(orderBy: { field: $by }) { nodes { id } } }", {"by": None}),
]


@pytest.mark.parametrize(("query", "variables"), [*((query, {"w": None}) for query in DIRECTIVES), *ARGUMENTS])
async def test_a_mistake_of_the_client_is_declined_quietly(
    paths: Paths, market: Market, query: str, variables: dict[str, object]
) -> None:
    await market.product()
    for _ in range(2):  # the second time the operation is known
        with capture_logs() as entries:
            answers = await paths.agree(query, variables)

        assert answers.has_errors
        assert not answers.was_compiled
        assert {entry["log_level"] for entry in entries} == {"info"}
