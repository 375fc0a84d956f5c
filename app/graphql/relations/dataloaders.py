"""The kinds of dataloader: one row by its key, a list of rows by their parent's, a page of them for each parent."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, NamedTuple, TypeVar
from uuid import UUID

from aiodataloader import DataLoader
from sqlalchemy import Row, Select

from app.db.pagination import PARENT, Listing, Page, PageRequest, Relation, page_of
from app.db.unit_of_work import UnitOfWork
from app.graphql.relations.connections import Connection
from app.security.viewer import Viewer

_STATEMENTS_KEPT = 200

T = TypeVar("T")
CriteriaType = TypeVar("CriteriaType", bound=Hashable)
Make = Callable[[Row[Any]], T]


@dataclass(frozen=True)
class Visible(Generic[T]):
    """What is found by its own id: the statement for those with `:keys` that a viewer may look up, and what is made
    of their rows."""

    by_key: Callable[[Viewer | None], Select[Any]]
    make: Make[T]


def row_loader(work: UnitOfWork, statement: Select[Any], make: Make[T]) -> DataLoader[UUID, T | None]:
    """Load what is made of the row with each id; the statement takes the array `:keys`."""

    async def load(keys: list[UUID]) -> list[T | None]:
        found = {row.id: make(row) for row in await work.rows(statement, {"keys": keys})}
        return [found.get(key) for key in keys]

    return DataLoader(load)


def reference_loader(work: UnitOfWork, statement: Select[Any], make: Make[T]) -> DataLoader[UUID, T]:
    """Load what is made of the row that a foreign key refers to, and which is therefore there."""

    async def load(keys: list[UUID]) -> list[T]:
        found = {row.id: make(row) for row in await work.rows(statement, {"keys": keys})}
        return [found[key] for key in keys]

    return DataLoader(load)


def rows_loader(work: UnitOfWork, statement: Select[Any], parent: str, make: Make[T]) -> DataLoader[UUID, list[T]]:
    """Load what is made of the rows whose column `parent` is each key, in the statement's order."""

    async def load(keys: list[UUID]) -> list[list[T]]:
        found: dict[UUID, list[T]] = defaultdict(list)
        for row in await work.rows(statement, {"keys": keys}):
            found[getattr(row, parent)].append(make(row))
        return [found[key] for key in keys]

    return DataLoader(load)


class _PageKey(NamedTuple):
    parent: UUID
    criteria: Hashable
    request: PageRequest | None


class ConnectionLoader(Generic[CriteriaType, T]):
    """Loads a connection of many parents: a statement for each set of arguments, whatever their number."""

    def __init__(
        self,
        work: UnitOfWork,
        listing: Callable[[CriteriaType], Listing],
        relation: Relation,
        make: Make[T],
    ) -> None:
        self._work = work
        self._listing = listing
        self._relation = relation
        self._make = make
        self._pages: DataLoader[_PageKey, Page[T]] = DataLoader(self._load_pages)
        self._totals: DataLoader[_PageKey, int] = DataLoader(self._load_totals)

    def connection(self, parent: UUID, request: PageRequest, criteria: CriteriaType) -> Connection[T]:
        """Return the connection of one parent; it is read together with those of the others."""
        return Connection(
            page=lambda: self._pages.load(_PageKey(parent, criteria, request)),
            total=lambda: self._totals.load(_PageKey(parent, criteria, None)),
        )

    async def _load_pages(self, keys: list[_PageKey]) -> list[Page[T]]:
        pages: dict[_PageKey, Page[T]] = {}
        for (criteria, request), parents in _grouped(keys).items():
            statement = _page_each(self._listing, self._relation, criteria, request)
            found: dict[UUID, list[Row[Any]]] = defaultdict(list)
            for row in await self._work.rows(statement, {"parents": parents}):
                found[getattr(row, PARENT)].append(row)
            for parent in parents:
                pages[_PageKey(parent, criteria, request)] = page_of(found[parent], request, self._make)
        return [pages[key] for key in keys]

    async def _load_totals(self, keys: list[_PageKey]) -> list[int]:
        totals: dict[_PageKey, int] = {}
        for (criteria, _), parents in _grouped(keys).items():
            statement = self._listing(criteria).total_each(self._relation)
            for row in await self._work.rows(statement, {"parents": parents}):
                totals[_PageKey(getattr(row, PARENT), criteria, None)] = row.total
        return [totals[key] for key in keys]


@lru_cache(_STATEMENTS_KEPT)
def _page_each(
    listing: Callable[[Any], Listing], relation: Relation, criteria: Any, request: PageRequest
) -> Select[Any]:
    """Return the statement for a page of each parent; building it takes a sixth of the time of 10 stores' products."""
    return listing(criteria).page_each(relation, request)


def _grouped(keys: Sequence[_PageKey]) -> dict[tuple[Any, Any], list[UUID]]:
    """Return the parents for each set of arguments."""
    groups: dict[tuple[Any, Any], list[UUID]] = defaultdict(list)
    for key in keys:
        groups[key.criteria, key.request].append(key.parent)
    return groups
