"""What is too large is refused before anything runs, on both paths alike, with a code of its own."""

from typing import Any

import httpx2
import pytest
from graphql import get_introspection_query
from sqlalchemy.ext.asyncio import AsyncConnection

from app.main import create_app
from app.settings import Settings
from tests.api import Api
from tests.databases import SingleConnection
from tests.market import Market
from tests.statements import Statements


def fields(number: int) -> str:
    return " ".join(f"f{index}: __typename" for index in range(number))


def components(number: int, selection: str) -> str:
    """Return a document that so many components ask for the same of a product."""
    names = [f"C{index}" for index in range(number)]
    fragments = " ".join(f"fragment {name} on Product {{ {selection} }}" for name in names)
    return f"{{ products {{ nodes {{ ...{' ...'.join(names)} }} }} }} {fragments}"


EXCEEDING = {
    "DEPTH": ("depth_limit", 6, "{ viewer { stores { nodes { owner { stores { totalCount } } } } } }", 6),
    "DEPTH by fragments": (
        "depth_limit",
        5,
        """{ viewer { ...A } } fragment A on User { stores { ...B } }
        fragment B on StoreConnection { nodes { owner { id } } }""",
        5,
    ),
    "ROOT_FIELD": ("root_field_limit", 3, "{ viewer { id } products { totalCount } stores { totalCount } }", 3),
    "ROOT_FIELD by fragments": (
        "root_field_limit",
        3,
        "{ ...A ... { viewer { id } } } fragment A on Query { products { totalCount } stores { totalCount } }",
        3,
    ),
    "ALIAS": ("alias_limit", 4, f"{{ {fields(4)} }}", 4),
    "ALIAS by fragments": (
        "alias_limit",
        4,
        f"{{ ...A ... {{ {fields(2)} }} }} fragment A on Query {{ a: __typename b: __typename }}",
        4,
    ),
    "DIRECTIVE": ("directive_limit", 2, "{ a: __typename @skip(if: false) ... @include(if: true) { __typename } }", 2),
    "REPETITION": ("repetition_limit", 7, "{ " + "__typename " * 7 + "}", 7),
    "REPETITION by fragments": ("repetition_limit", 7, "{ " + "...A " * 7 + "} fragment A on Query { __typename }", 7),
}


@pytest.fixture(params=[False, True], ids=["resolver", "compiled"])
async def limited(connection: AsyncConnection, settings: Settings, request: pytest.FixtureRequest) -> "Limited":
    return Limited(connection, settings.model_copy(update={"compiled_path": request.param}))


class Limited:
    """The application with limits as a test wants them."""

    def __init__(self, connection: AsyncConnection, settings: Settings) -> None:
        self._connection = connection
        self._settings = settings

    async def result(self, query: str, variables: Any = None, **limits: int) -> Any:
        settings = self._settings.model_copy(update=limits)
        transport = httpx2.ASGITransport(app=create_app(settings, SingleConnection(self._connection)))
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
            return (await Api(client, settings).send(query, variables)).json()

    async def refusal(self, query: str, variables: Any = None, **limits: int) -> Any:
        """Return the extensions of the one error."""
        result = await self.result(query, variables, **limits)
        assert result.get("data") is None
        (error,) = result["errors"]
        return error["extensions"]


@pytest.mark.parametrize("name", EXCEEDING)
async def test_a_document_may_have_as_much_as_the_limit_and_no_more(
    limited: Limited, statements: Statements, name: str
) -> None:
    setting, size, query, limit = EXCEEDING[name]
    assert "errors" not in await limited.result(query, **{setting: limit})
    statements.clear()

    refusal = await limited.refusal(query, **{setting: limit - 1})

    code = f"{name.split()[0]}_LIMIT_EXCEEDED"
    assert refusal == {"code": code, "requested": size, "limit": limit - 1}
    assert statements == []


async def test_every_limit_that_is_exceeded_is_told(limited: Limited) -> None:
    result = await limited.result(f"{{ {fields(9)} }}", alias_limit=1, root_field_limit=2)

    codes = {error["extensions"]["code"] for error in result["errors"]}
    assert codes == {"ALIAS_LIMIT_EXCEEDED", "ROOT_FIELD_LIMIT_EXCEEDED"}


async def test_a_document_may_have_so_many_tokens(limited: Limited) -> None:
    query = "{ viewer { id } } # and a comment, which is none"
    assert "errors" not in await limited.result(query, token_limit=6)

    assert await limited.refusal(query, token_limit=5) == {"code": "TOKEN_LIMIT_EXCEEDED", "requested": 6, "limit": 5}


async def test_as_many_errors_are_told_as_may_be(limited: Limited) -> None:
    query = f"{{ {' '.join(f'unheard{number}' for number in range(20))} }}"

    result = await limited.result(query, validation_error_limit=3)

    assert [error["message"] for error in result["errors"]] == [
        f"Cannot query field 'unheard{number}' on type 'Query'." for number in range(3)
    ]


@pytest.mark.parametrize(
    "query",
    [
        "{ " + "viewer { id } " * 250 + "}",
        "{ viewer { stores { nodes { owner { " + "stores { totalCount } " * 250 + "} } } } }",
        "{ ...A } fragment A on Query { ...A }",
        "{ ...A } fragment A on Query { viewer { ...B } } fragment B on User { stores { nodes { owner { ...B } } } }",
        "{ __schema { types " + "{ fields { type " * 40 + "{ name" + " } }" * 40 + " } } }",
        "{ ...F0 } "
        + " ".join(f"fragment F{number} on Query {{ ...F{number + 1} }}" for number in range(230))
        + " fragment F230 on Query { __typename }",
        "{ ..." * 150 + "{ __typename }" + " }" * 150,
        "{ products { nodes { " + ("... { " + "store { id } " * 18 + "} ") * 20 + "} } }",
        components(30, "store { id } " * 12),
        "{ products { ...F0 } } "
        + " ".join(
            f"fragment F{number} on ProductConnection {{ nodes {{ store {{ products {{ ...F{number + 1} }} }} }} "
            f"edges {{ node {{ store {{ products {{ ...F{number + 1} }} }} }} }} }}"
            for number in range(20)
        )
        + " fragment F20 on ProductConnection { totalCount }",
    ],
)
async def test_what_would_take_long_to_validate_or_to_run_is_refused(limited: Limited, query: str) -> None:
    result = await limited.result(query)

    assert "data" not in result or result["data"] is None
    assert {error["extensions"]["code"] for error in result["errors"]} <= {
        "REPETITION_LIMIT_EXCEEDED",
        "ROOT_FIELD_LIMIT_EXCEEDED",
        "DEPTH_LIMIT_EXCEEDED",
        "GRAPHQL_VALIDATION_FAILED",
    }


async def test_many_components_may_ask_for_the_same(limited: Limited) -> None:
    assert "errors" not in await limited.result(components(60, "id __typename name store { id }"))


async def test_tools_can_still_ask_for_the_schema(limited: Limited) -> None:
    result = await limited.result(get_introspection_query(descriptions=True, input_value_deprecation=True))

    assert "errors" not in result
    assert 1_000 < result["extensions"]["cost"]["requested"] < 1_300


async def test_a_mutation_that_is_too_large_does_nothing(api: Api, market: Market, statements: Statements) -> None:
    user = await market.user()
    orders = " ".join(
        f'o{number}: placeOrder(input: {{items: [{{productId: "Product_x", quantity: 1}}]}}) {{ __typename }}'
        for number in range(21)
    )
    statements.clear()

    error = await api.error(f"mutation {{ {orders} }}", user=user)

    assert (error["code"], statements) == ("ROOT_FIELD_LIMIT_EXCEEDED", [])
