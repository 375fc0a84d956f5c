"""Fields that a dataloader answers: `store: lazy.Store = loaded(…)`.

They are ordinary fields with a resolver; `execution` knows how they are loaded, and answers those of a list at once."""

from asyncio import Future
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import strawberry
from strawberry.types.field import StrawberryField

from app.graphql.context import Info
from app.graphql.relations.meaning import Meaning, in_sql

if TYPE_CHECKING:
    from app.graphql.loaders import Loaders

_KEY = "loaded"

Load = Callable[["Loaders", Any], Future[Any] | None]
"""Asks a dataloader for what a field shows of an object; None where there is nothing to ask for."""


def loaded(load: Load, description: str, meaning: Meaning) -> Any:
    """Make a field that a dataloader answers, and that means this in SQL."""

    async def resolve(self: Any, info: Info) -> Any:
        loading = load(info.context.loaders, self)
        return None if loading is None else await loading

    return strawberry.field(resolver=resolve, description=description, metadata={**in_sql(meaning), _KEY: load})


def load_of(field: StrawberryField) -> Load | None:
    """Return how a field is loaded, None where it is answered otherwise."""
    load: Load | None = field.metadata.get(_KEY)
    return load
