"""What auditors of GraphQL servers, such as graphql-cop, try first: none of it is found in the production profile.

Queries by GET, which they note, too, are meant: they change nothing, and no cookie lets another page read them."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import httpx2
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from app.main import create_app
from app.settings import Environment, Settings
from tests.api import Api
from tests.databases import SingleConnection

SECRET = "a-secret-of-more-than-32-characters-for-tests"
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
CIRCULAR_INTROSPECTION = "{ __schema { types { fields { type { fields { type { fields { name } } } } } } } }"
CIRCULAR_FRAGMENTS = "query { ...A } fragment A on Query { ...B } fragment B on Query { ...A }"


def has_data(response: httpx2.Response) -> bool:
    """An operation was executed."""
    answer = response.json()
    return isinstance(answer, list) or answer.get("data") is not None


def says(*words: str) -> Callable[[httpx2.Response], bool]:
    """The response has one of these words."""
    return lambda response: any(word in response.text.lower() for word in words)


class Probe(NamedTuple):
    """A request, and how to see that it found something."""

    name: str
    found: Callable[[httpx2.Response], bool]
    request: dict[str, Any]
    method: str = "POST"


def operation(query: str) -> dict[str, Any]:
    """The request for an operation."""
    return {"json": {"query": query}}


# What development shows, and production does not.
SHOWN = [
    Probe("introspection", has_data, operation("{ __schema { types { name } } }")),
    Probe("introspection of a type", has_data, operation('{ __type(name: "User") { fields { name } } }')),
    Probe(
        "introspection by another name",
        has_data,
        operation("query { a: __typename ...F } fragment F on Query { b: __schema { types { name } } }"),
    ),
    Probe("introspection by GET", has_data, {"params": {"query": "{ __schema { types { name } } }"}}, "GET"),
    Probe("suggested fields", says("did you mean"), operation("{ product { nam } viewr { id } }")),
    Probe("suggested types", says("did you mean"), operation("query ($id: Produc) { viewer { id } }")),
    Probe("suggested arguments", says("did you mean"), operation("{ products(frst: 1) { totalCount } }")),
    Probe(
        "suggested fields of an input",
        says("did you mean"),
        {
            "json": {
                "query": "query ($f: ProductFilter) { products(filter: $f) { totalCount } }",
                "variables": {"f": {"serch": "a"}},
            }
        },
    ),
    Probe(
        "suggested values", says("did you mean"), operation("{ orders(filter: { status: [PLACE] }) { totalCount } }")
    ),
    Probe("GraphiQL", says("graphiql"), {"headers": BROWSER}, "GET"),
]

NEVER = [
    Probe("many aliases", has_data, operation(f"{{ {' '.join(f'a{n}: __typename' for n in range(101))} }}")),
    Probe("many times the same field", has_data, operation(f"{{ {'__typename ' * 500} }}")),
    Probe(
        "many directives",
        lambda response: len(response.json()["errors"]) >= 10,
        operation(f"{{ __typename {'@aa ' * 10} }}"),
    ),
    Probe("batches", has_data, {"json": [{"query": "{ __typename }"}] * 10}),
    Probe("circular introspection", has_data, operation(CIRCULAR_INTROSPECTION)),
    Probe("circular fragments", has_data, operation(CIRCULAR_FRAGMENTS)),
    Probe("the first of several operations", has_data, operation("query A { __typename } query B { __typename }")),
    Probe("mutation by GET", has_data, {"params": {"query": "mutation { __typename }"}}, "GET"),
    Probe(
        "mutation by GET, as a stream",
        says('"data":{'),
        {"params": {"query": "mutation { __typename }"}, "headers": {"Accept": "text/event-stream"}},
        "GET",
    ),
    Probe("query in a form", has_data, {"data": {"query": "{ __typename }"}}),
    Probe("mutation in a form", has_data, {"data": {"query": "mutation { __typename }"}}),
    Probe("query in the URL of a form", has_data, {"params": {"query": "{ __typename }"}, "headers": FORM}),
    Probe("query in the URL of a POST", has_data, {"params": {"query": "{ __typename }"}, "headers": JSON}),
    Probe(
        "form with a file",
        has_data,
        {"files": {"operations": (None, '{"query": "{ __typename }"}'), "map": (None, "{}")}},
    ),
    Probe(
        "JSON as plain text",
        has_data,
        {"content": '{"query": "{ __typename }"}', "headers": {"Content-Type": "text/plain"}},
    ),
    Probe("tracing", says("tracing", "exception"), operation("query Cop { __typename }")),
    Probe(
        "an explanation",
        says("explain", "select"),
        {**operation("{ products { totalCount } }"), "headers": {"X-Explain": "true"}},
    ),
    Probe(
        "details of errors",
        says("exception", "stacktrace", "traceback", "graphql-core", ".py"),
        operation("qwerty cop { abc }"),
    ),
    Probe("other consoles", says("graphiql", "playground", "altair", "voyager"), {"headers": BROWSER}, "GET"),
]


@asynccontextmanager
async def served(
    connection: AsyncConnection, settings: Settings, environment: Environment, *, compiled_path: bool
) -> AsyncIterator[Api]:
    """The application as it is in an environment, unless anything else is set."""
    configuration = Settings(
        app_env=environment,
        database_url=settings.database_url,
        secret_key=SECRET,  # type: ignore[arg-type]  # as it is read from the environment
        compiled_path=compiled_path,
    )
    transport = httpx2.ASGITransport(app=create_app(configuration, SingleConnection(connection)))
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        yield Api(client, configuration)


async def is_found(api: Api, probe: Probe) -> bool:
    return probe.found(await api.client.request(probe.method, "/graphql", **probe.request))


def named(probes: list[Probe]) -> Any:
    return pytest.mark.parametrize("probe", probes, ids=[probe.name for probe in probes])


@named(SHOWN + NEVER)
@pytest.mark.parametrize("compiled_path", [False, True])
async def test_production_shows_nothing(
    connection: AsyncConnection, settings: Settings, probe: Probe, compiled_path: bool
) -> None:
    async with served(connection, settings, Environment.PRODUCTION, compiled_path=compiled_path) as api:
        assert not await is_found(api, probe)


@pytest.mark.parametrize("compiled_path", [False, True])
async def test_the_name_of_a_type_is_told_but_not_what_it_has(
    connection: AsyncConnection, settings: Settings, compiled_path: bool
) -> None:
    async with served(connection, settings, Environment.PRODUCTION, compiled_path=compiled_path) as api:
        assert await api.data("{ __typename products { __typename } }") == {
            "__typename": "Query",
            "products": {"__typename": "ProductConnection"},
        }
        error = await api.error("{ products { totalCount } __schema { types { name fields { name } } } }")
        assert error["code"] == "INTROSPECTION_DISABLED"


async def test_an_error_without_hints_still_tells_what_is_wrong(
    connection: AsyncConnection, settings: Settings
) -> None:
    async with served(connection, settings, Environment.PRODUCTION, compiled_path=True) as api:
        error = await api.error("{ product(id: 1) { nam } }")
        assert error["message"] == "Cannot query field 'nam' on type 'Product'."


async def test_one_process_may_show_what_another_hides(connection: AsyncConnection, settings: Settings) -> None:
    """They share the schema and what is kept of documents."""
    query = "{ __schema { queryType { name } } }"
    for environment, keys in [(Environment.DEVELOPMENT, {"data"}), (Environment.PRODUCTION, {"errors"})] * 2:
        async with served(connection, settings, environment, compiled_path=True) as api:
            assert keys <= (await api.execute(query)).keys()


@named(SHOWN)
async def test_development_shows_what_there_is(connection: AsyncConnection, settings: Settings, probe: Probe) -> None:
    async with served(connection, settings, Environment.DEVELOPMENT, compiled_path=True) as api:
        assert await is_found(api, probe)
