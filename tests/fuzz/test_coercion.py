"""Variables are coerced as graphql-core coerces them, whatever they are."""

from contextlib import suppress
from random import Random
from typing import Any

import orjson
import pytest
from graphql import OperationDefinitionNode, parse
from graphql.execution.values import VariableValues, get_variable_values
from hypothesis import given

from app.graphql.operations import variables as coercion
from app.graphql.operations.variables import Variables
from tests.fuzz.conftest import Fuzzed
from tests.fuzz.contract import Caller, fields
from tests.fuzz.mutations import mutated_json
from tests.fuzz.profile import RANDOMS, tries
from tests.graphql.compiled.operations import SCHEMA

CALLED = fields("Query", "Mutation", "Subscription")


class Asked:
    """The variables of an operation, coerced by us and by graphql-core."""

    def __init__(self, document: str) -> None:
        (definition,) = parse(document).definitions
        assert isinstance(definition, OperationDefinitionNode)
        self.definition = definition
        self.variables = Variables(SCHEMA, definition, most_errors=5, hide_suggestions=False)

    def coerced(self, given: dict[str, Any]) -> Any:
        return shown(self.variables.coerced(given))

    def expected(self, given: dict[str, Any]) -> Any:
        return shown(get_variable_values(SCHEMA, self.definition.variable_definitions or (), given, max_errors=0))


def shown(values: Any) -> Any:
    """Return the values with their types and their order, and what they were made of; None if any is invalid."""
    if not isinstance(values, VariableValues):
        return None
    return repr(values.coerced), repr({name: source.value for name, source in values.sources.items()})


@tries(1_000)
@given(random=RANDOMS)
def test_any_variables(fuzzed: Fuzzed, random: Random) -> None:
    document, variables = Caller(random, fuzzed.samples).call(random.choice(CALLED))
    asked = Asked(document)
    given = [variables]
    with suppress(orjson.JSONDecodeError):
        given.append(orjson.loads(mutated_json(random, orjson.dumps(variables).decode())))
    for each in given:
        if isinstance(each, dict):
            assert asked.coerced(each) == asked.expected(each)


DEFAULTS = """
query (
  $ids: [ID!]! = ["a"], $first: Int = 3, $filter: ProductFilter = { inStock: true }, $search: String = null,
  $cursor: String, $when: DateTime = "2026-01-31T12:00:00Z", $field: ProductSortField = NAME, $yes: Boolean! = true
) { __typename }
"""


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"ids": "b", "first": 2.0, "cursor": None, "unknown": 1},
        {"ids": ["b", 7], "first": None, "filter": None, "when": None, "field": None, "search": "c"},
        {"ids": [None]},
        {"ids": None},
        {"yes": None},
        {"first": 2**31},
        {"first": True},
        {"field": "COLOR"},
        {"filter": {"price": {"gte": 1}, "storeId": 7}},
        {"filter": {"color": "red"}},
        {"filter": []},
    ],
    ids=repr,
)
def test_defaults_and_what_is_missing(variables: dict[str, Any]) -> None:
    asked = Asked(DEFAULTS)
    assert asked.coerced(variables) == asked.expected(variables)


def test_what_is_plain_is_not_left_to_graphql_core(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Asked("query ($f: ProductFilter, $n: Int = 3, $ids: [ID!]!) { __typename }")
    variables = {"f": {"price": {"gte": "1.50"}, "inStock": None}, "ids": ["a", "b"]}
    wanted = asked.expected(variables)
    asked.coerced({})  # the defaults have been read
    monkeypatch.setattr(coercion, "get_variable_values", None)
    assert asked.coerced(variables) == wanted


def test_lists_have_a_limit_however_they_are_nested() -> None:
    """Each item takes time, on the event loop: 42,000 numbers took 0.3 s."""
    asked = Asked("query ($ids: [ID!]!, $more: [ID!]) { __typename }")
    assert shown(asked.variables.coerced({"ids": ["a"] * 3_000, "more": ["b"] * 2_000})) is not None
    for more in (["b"] * 2_001, {"x": ["b"] * 2_001}, [["b"] * 2_000]):
        errors = asked.variables.coerced({"ids": [1e308] * 3_000, "more": more})
        assert isinstance(errors, list)
        assert [error.extensions for error in errors] == [{"code": "BAD_USER_INPUT"}]
