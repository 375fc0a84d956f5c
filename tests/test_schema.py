"""The schema that client teams generate code from."""

from typing import Any

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    build_schema,
    is_specified_scalar_type,
)

from app.errors import DomainError
from app.graphql.failures import HANDLERS
from app.graphql.mutations import Savepoint
from app.graphql.schema import Mutation, schema_sdl
from app.settings import ROOT


@pytest.fixture(scope="module")
def exported() -> GraphQLSchema:
    return build_schema((ROOT / "schema.graphql").read_text())


def own_types(schema: GraphQLSchema) -> list[GraphQLNamedType]:
    return [
        type_
        for name, type_ in schema.type_map.items()
        if not name.startswith("__") and not is_specified_scalar_type(type_)
    ]


def test_the_export_is_fresh() -> None:
    assert (ROOT / "schema.graphql").read_text() == schema_sdl(), "run `make schema`"


def test_everything_is_described(exported: GraphQLSchema) -> None:
    undescribed = []
    for type_ in own_types(exported):
        elements: dict[str, Any] = {type_.name: type_}
        if isinstance(type_, GraphQLObjectType | GraphQLInterfaceType | GraphQLInputObjectType):
            for name, field in type_.fields.items():
                elements[f"{type_.name}.{name}"] = field
                for argument, definition in getattr(field, "args", {}).items():
                    elements[f"{type_.name}.{name}({argument}:)"] = definition
        if isinstance(type_, GraphQLEnumType):
            elements |= {f"{type_.name}.{name}": value for name, value in type_.values.items()}
        undescribed += [name for name, element in elements.items() if not element.description]
    assert not undescribed


def test_every_mutation_runs_in_a_savepoint_and_says_who_may_call_it() -> None:
    fields = Mutation.__strawberry_definition__.fields  # type: ignore[attr-defined]  # set by its decorator
    assert fields
    for field in fields:
        assert [type(extension) for extension in field.extensions] == [Savepoint], field.name


def test_every_failure_of_the_domain_has_a_member_and_every_member_is_an_error(exported: GraphQLSchema) -> None:
    error = exported.type_map["Error"]
    assert isinstance(error, GraphQLInterfaceType)
    assert {handler.exception_type for handler in HANDLERS} == set(DomainError.__subclasses__())
    members = {handler.error_type.__name__ for handler in HANDLERS}
    assert {type_.name for type_ in exported.get_implementations(error).objects} == members
