"""How GraphQL shows inputs: each is a pydantic class, of which Strawberry makes an input type.

Strawberry would validate an input while it converts the arguments, before anybody has asked who the viewer is. So a
resolver's argument is first what the client gave, and it is checked when it is used."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple, get_args

import strawberry
from strawberry.types.arguments import InputContext
from strawberry.types.base import StrawberryObjectDefinition
from strawberry.types.field import StrawberryField

from app.inputs import Input


class Given(NamedTuple):
    """An input as the client gave it, not yet checked."""

    model: type[Input]
    values: Mapping[str, Any]
    argument: str

    def checked(self) -> Input:
        """Return the input with every value normalized; BadUserInput says what is wrong."""
        return self.model.check(self.values, self.argument)

    def deferred(self) -> Input:
        """Return the input, which raises InvalidInput where it is used if anything is wrong."""
        return self.model.defer(self.values)


def inputs_of(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the arguments of a resolver, each input as one that raises InvalidInput where it is used."""
    return {name: given.deferred() if isinstance(given, Given) else given for name, given in arguments.items()}


def describe_inputs(field: StrawberryField) -> None:
    """Make input types of the inputs that a field takes, and describe its arguments as they are described."""
    for argument in field.arguments:
        for model in _inputs_in(argument.type_annotation.annotation):
            argument.description = _description(input_object(model))


def input_object(model: type[Input]) -> type[Input]:
    """Make an input type of a model and of the inputs within it, once; return the model."""
    if "__strawberry_definition__" in vars(model):
        return model
    for field in model.model_fields.values():
        for nested in _inputs_in(field.annotation):
            input_object(nested)
    strawberry.pydantic.input(model, description=_description(model))
    definition: StrawberryObjectDefinition = model.__strawberry_definition__  # type: ignore[attr-defined]  # just made
    model.__strawberry_definition__ = replace(definition, from_input=_given)  # type: ignore[attr-defined]  # as above
    return model


def _given(model: type[Input], values: Mapping[str, Any], context: InputContext) -> Given:
    return Given(model, values, str(context.path[0]))


def _inputs_in(annotation: Any) -> list[type[Input]]:
    if isinstance(annotation, type) and issubclass(annotation, Input):
        return [annotation]
    return [found for part in get_args(annotation) for found in _inputs_in(part)]


def _description(model: type[Input]) -> str:
    """Return the docstring as one line."""
    return " ".join((model.__doc__ or "").split())
