"""`X-Explain` tells a superuser, and anyone in development, how an operation was answered, and the log which path."""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection
from structlog.testing import capture_logs

from app.db.models import User
from app.main import create_app
from app.settings import Environment, Settings
from tests.api import Api
from tests.databases import SingleConnection
from tests.market import Market, gid

EXPLAIN = {"X-Explain": "true"}
PRODUCTS = "{ products { nodes { name store { name } } } }"
DECLINED = "{ products { nodes { name store { name } } } __schema { queryType { name } } }"
PLACE = """
mutation ($id: ID!) {
  placeOrder(input: { items: [{ productId: $id, quantity: 1 }] }) {
    ... on PlaceOrderSuccess { order { items { product { name } } } }
  }
}
"""


@pytest.fixture(params=[Environment.DEVELOPMENT, Environment.PRODUCTION])
def environment(request: pytest.FixtureRequest) -> Environment:
    environment: Environment = request.param
    return environment


@pytest.fixture
async def asked(connection: AsyncConnection, settings: Settings, environment: Environment) -> AsyncIterator[Api]:
    """The application with the compiled path, in development or in production."""
    configuration = settings.model_copy(update={"compiled_path": True, "app_env": environment})
    transport = httpx2.ASGITransport(app=create_app(configuration, SingleConnection(connection)))
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        yield Api(client, configuration)


async def explained(api: Api, query: str, variables: Any = None, user: User | None = None) -> Any:
    """Return what the response explains."""
    response = await api.send(query, variables, user=user, headers=EXPLAIN)
    return response.json()["extensions"].get("explain")


def words_of(explanation: Any) -> list[str]:
    """Return the first word of each statement."""
    return [statement["sql"].split()[0] for statement in explanation["statements"]]


async def test_a_superuser_is_told_of_the_compiled_path(asked: Api, market: Market) -> None:
    explanation = await explained(asked, PRODUCTS, user=await market.superuser())

    assert explanation["path"] == "compiled"
    (statement,) = explanation["statements"]
    assert statement["sql"].startswith("""SELECT '{"data":{"products":""")
    assert explanation["milliseconds"] >= statement["milliseconds"] > 0


async def test_why_the_compiled_path_declined_is_told(asked: Api, market: Market) -> None:
    await market.product()

    explanation = await explained(asked, DECLINED, user=await market.superuser())

    assert (explanation["path"], explanation["declined"]) == ("resolver", "__schema")
    assert words_of(explanation) == ["SELECT", "SELECT"]


async def test_all_statements_of_a_mutation_are_told_without_values(asked: Api, market: Market) -> None:
    product = await market.product(name="A secret name")

    explanation = await explained(asked, PLACE, {"id": gid(product)}, user=await market.superuser())

    assert words_of(explanation) == ["WITH", "SELECT"]
    assert str(product.id) not in str(explanation)
    assert "A secret name" not in str(explanation)


async def test_savepoints_are_told_as_well(asked: Api, market: Market) -> None:
    mutation = """mutation ($id: ID!) {
      done: placeOrder(input: { items: [{ productId: $id, quantity: 1 }] }) { __typename }
      failed: placeOrder(input: { items: [] }) { __typename }
    }"""

    told = await explained(asked, mutation, {"id": gid(await market.product())}, user=await market.superuser())

    ended = [
        statement["sql"] for statement in told["statements"] if not statement["sql"].startswith(("WITH", "SELECT"))
    ]
    assert ended == ["BEGIN", "SAVEPOINT", "RELEASE SAVEPOINT", "SAVEPOINT", "ROLLBACK TO SAVEPOINT", "COMMIT"]


async def test_others_are_told_in_development_only(asked: Api, market: Market, environment: Environment) -> None:
    for user in (None, await market.user()):
        explanation = await explained(asked, PRODUCTS, user=user)

        assert (explanation is not None) == (environment is Environment.DEVELOPMENT)


async def test_nobody_is_told_unasked(asked: Api, market: Market) -> None:
    for query in (PRODUCTS, DECLINED):
        response = await asked.send(query, user=await market.superuser())

        assert "explain" not in response.json()["extensions"]


async def test_a_token_that_is_no_good_explains_nothing(asked: Api) -> None:
    response = await asked.send(PRODUCTS, headers={**EXPLAIN, "Authorization": "Bearer nonsense"})

    assert "explain" not in response.json()["extensions"]


@pytest.mark.parametrize(
    ("query", "path", "codes"),
    [
        ("query Named { products { totalCount } }", "compiled", ()),
        ("query Named { __schema { queryType { name } } }", "resolver", ()),
        ('query Named { product(id: "x") { id } }', "resolver", ("BAD_USER_INPUT",)),
    ],
)
async def test_the_log_tells_which_path_answered(asked: Api, query: str, path: str, codes: tuple[str, ...]) -> None:
    with capture_logs() as entries:
        response = await asked.client.post("/graphql", json={"query": query, "operationName": "Named"})

    (entry,) = (entry for entry in entries if entry["event"] == "operation")
    assert entry.pop("milliseconds") > 0
    entry.pop("statements")
    assert {**entry, "codes": tuple(entry["codes"])} == {
        "event": "operation",
        "log_level": "info",
        "request_id": response.headers["X-Request-ID"],
        "name": "Named",
        "type": "query",
        "viewer": None,
        "path": path,
        "cost": response.json()["extensions"]["cost"]["requested"],
        "status": 200,
        "codes": codes,
    }


async def test_the_log_tells_of_a_get(asked: Api) -> None:
    with capture_logs() as entries:
        response = await asked.client.get("/graphql", params={"query": "{ products { totalCount } }"})

    assert [(entry["request_id"], entry["path"]) for entry in entries] == [
        (response.headers["X-Request-ID"], "compiled")
    ]
