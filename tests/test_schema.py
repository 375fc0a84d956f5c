"""The schema that client teams generate code from."""

import re
from typing import Any

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    GraphQLUnionType,
    build_schema,
    is_non_null_type,
    is_specified_scalar_type,
)

from app.errors import DomainError
from app.graphql.failures import HANDLERS
from app.graphql.mutations import RootField
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


def test_a_sorted_list_names_its_default_order(exported: GraphQLSchema) -> None:
    for type_ in own_types(exported):
        fields = type_.fields if isinstance(type_, GraphQLObjectType) else {}
        for name, field in fields.items():
            if "orderBy" in field.args:
                filter = field.args["filter"].type
                assert isinstance(filter, GraphQLInputObjectType)
                about = field.args["orderBy"].description or ""
                order = re.search("(oldest|newest) first by default", field.description or "")
                assert order is None or f"Default: {order[1]} first" in about, name
                assert ("search" in about) == ("search" in filter.fields), name


def test_every_scalar_names_its_specification(exported: GraphQLSchema) -> None:
    scalars = [type_ for type_ in own_types(exported) if isinstance(type_, GraphQLScalarType)]
    assert scalars
    assert [type_.name for type_ in scalars if not type_.specified_by_url] == []


def test_every_mutation_can_be_undone_by_itself_and_says_who_may_call_it() -> None:
    fields = Mutation.__strawberry_definition__.fields  # type: ignore[attr-defined]  # set by its decorator
    assert fields
    for field in fields:
        assert [type(extension) for extension in field.extensions] == [RootField], field.name


def test_a_root_field_that_fails_leaves_the_others(exported: GraphQLSchema) -> None:
    for root in (exported.query_type, exported.mutation_type):
        assert root is not None
        assert [name for name, field in root.fields.items() if is_non_null_type(field.type)] == []


def test_every_mutation_takes_one_input_and_returns_a_success_of_its_own(exported: GraphQLSchema) -> None:
    assert exported.mutation_type is not None
    for name, field in exported.mutation_type.fields.items():
        named = f"{name[0].upper()}{name[1:]}"
        assert {argument: str(given.type) for argument, given in field.args.items()} == {"input": f"{named}Input!"}
        result = exported.type_map[f"{named}Result"]
        assert field.type is result
        assert isinstance(result, GraphQLUnionType)
        (success,) = [type_ for type_ in result.types if exported.type_map["Error"] not in type_.interfaces]
        assert success.name == f"{named}Success"
        assert [each for each, shown in success.fields.items() if is_non_null_type(shown.type)] == []


def test_every_subscription_returns_a_payload_of_its_own(exported: GraphQLSchema) -> None:
    assert exported.subscription_type is not None
    for name, field in exported.subscription_type.fields.items():
        assert str(field.type) == f"{name[0].upper()}{name[1:]}Event!"


def test_every_field_that_is_named_id_is_the_global_id_of_its_object(exported: GraphQLSchema) -> None:
    """Caches, such as Relay's, would otherwise take one object for another."""
    objects = [type_ for type_ in own_types(exported) if isinstance(type_, GraphQLObjectType)]
    assert {type_.name for type_ in objects if "id" in type_.fields} == {
        type_.name for type_ in objects if exported.type_map["Node"] in type_.interfaces
    }


def test_every_failure_of_the_domain_has_a_member_and_every_member_is_an_error(exported: GraphQLSchema) -> None:
    error = exported.type_map["Error"]
    assert isinstance(error, GraphQLInterfaceType)
    assert {handler.exception_type for handler in HANDLERS} == set(DomainError.__subclasses__())
    members = {handler.error_type.__name__ for handler in HANDLERS}
    assert {type_.name for type_ in exported.get_implementations(error).objects} == members
