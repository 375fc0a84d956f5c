"""An operation becomes a statement: below HTTP, and without a database."""

from typing import Any

from graphql import FragmentDefinitionNode, OperationDefinitionNode, parse
from graphql.execution.values import VariableValues, get_variable_values

from app.db.texts import readable
from app.graphql.compiled.compilation import BoundOperation
from app.graphql.compiled.compiler import compile_plan
from app.graphql.compiled.plans import NoPlan, Plan
from app.graphql.schema import schema
from app.graphql.strawberry_internals import graphql_schema
from app.security.viewer import Viewer


def compiled(query: str, variables: dict[str, Any] | None = None, viewer: Viewer | None = None) -> Plan | NoPlan:
    """Return the plan of a query."""
    document = parse(query)
    (definition,) = (each for each in document.definitions if isinstance(each, OperationDefinitionNode))
    fragments = {each.name.value: each for each in document.definitions if isinstance(each, FragmentDefinitionNode)}
    values = get_variable_values(graphql_schema(schema), definition.variable_definitions or (), variables or {})
    assert isinstance(values, VariableValues)
    return compile_plan(schema, BoundOperation(definition, fragments, values), viewer)


def statement(query: str) -> str:
    """Return the statement of a query, its quotation marks readable."""
    plan = compiled(query)
    assert isinstance(plan, Plan)
    return " ".join(readable(plan.sql).split())


def test_a_query_without_rows_is_its_response_and_sends_no_statement() -> None:
    plan = compiled("{ __typename }")

    assert isinstance(plan, Plan)
    assert (plan.sql, plan.data) == ("", b'{"data":{"__typename":"Query"}}')


def test_a_list_is_one_text_of_bare_values() -> None:
    sql = statement("{ stores(first: 2) { nodes { name phone } } }")

    assert sql.startswith("""SELECT '{"data":{"stores":{"nodes":[' || found_3.text_1 || ']}}}' AS text FROM""")
    assert """'{"name":"' || rows_2.name || '","phone":' ||""" in sql.replace("(", "").replace(")", "")
    assert """coalesce('"' || rows_2.phone || '"', 'null')""" in sql
    assert "count(" not in sql
    assert "LIMIT 2" in sql


def test_what_is_too_large_has_no_plan() -> None:
    fields = " ".join(f"f{number}: name" for number in range(1001))
    plan = compiled(f"{{ stores {{ nodes {{ {fields} }} }} }}")

    assert isinstance(plan, NoPlan)
    assert plan.reason == "it selects too much"
