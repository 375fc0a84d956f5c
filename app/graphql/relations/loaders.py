"""The dataloaders of an operation: each is made of a declaration when a field first needs it."""

from asyncio import Future
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from aiodataloader import DataLoader
from sqlalchemy import Row, Select, select

from app.db.models import Base
from app.db.pagination import PARENT, Page, PageRequest, Relation, each_parent, page_of
from app.db.statements import select_all, table_of, with_key_in_array
from app.db.unit_of_work import UnitOfWork
from app.graphql.node import node_named, shown
from app.graphql.relations.connections import Connection
from app.graphql.relations.declarations import Computed, Lookup, Pages, Reference, Rows
from app.security.viewer import Viewer

_STATEMENTS_KEPT = 50  # of each kind


class Loader(DataLoader[Any, Any]):
    """A dataloader that may fail without anybody waiting for it: what an operation that was cancelled had begun to load
    is not loaded any more."""

    def do_resolve_reject(self, key: Any, future: "Future[Any]") -> None:
        """Load a key with the others, and retrieve its exception even if nobody does."""
        future.add_done_callback(lambda loaded: loaded.cancelled() or loaded.exception())
        super().do_resolve_reject(key, future)


class PageKey(NamedTuple):
    """A page, or the total, of one parent's connection."""

    parent: UUID
    filter: Hashable
    request: PageRequest | None


class Loaders:
    """The dataloaders of one viewer's operation."""

    def __init__(self, work: UnitOfWork, viewer: Viewer | None) -> None:
        self._work = work
        self._viewer = viewer
        self.made: dict[Hashable, Loader] = {}
        """Every dataloader in use, by what it loads."""

    def reference(self, declaration: Reference) -> Loader:
        """Load what rows refer to: one loader for each model and condition, whichever fields refer to it."""
        model, condition = declaration.model, declaration.condition
        return self._loader((model, condition), lambda: _by_key(self._work, model, _referred(model, condition)))

    def computed(self, declaration: Computed) -> Loader:
        """Load what SQL makes of rows."""
        return self._loader(declaration, lambda: _computed(self._work, declaration))

    def lookup(self, declaration: Lookup) -> Loader:
        """Load what the viewer may look up."""
        statement = declaration.statement
        return self._loader(statement, lambda: _by_key(self._work, declaration.model, statement(self._viewer)))

    def node(self, name: str) -> Loader:
        """Load nodes of the type with this name that the viewer may look up."""
        node = node_named(name)
        return self._loader(node.by_key, lambda: _by_key(self._work, node.model, node.by_key(self._viewer)))

    def rows(self, declaration: Rows) -> Loader:
        """Load the lists of rows that belong to others."""
        return self._loader(declaration, lambda: _lists(self._work, self._viewer, declaration))

    def connection(self, declaration: Pages, parent: UUID, filter: Hashable, request: PageRequest) -> Connection[Any]:
        """Return the connection of one parent; it is read together with those of the others."""
        pages = self._loader((declaration, "pages"), lambda: _pages(self._work, self._viewer, declaration))
        totals = self._loader((declaration, "totals"), lambda: _totals(self._work, self._viewer, declaration))

        async def is_past_cursor(onward: bool) -> bool:
            if (request.before if onward else request.after) is None:
                return False
            name = "next" if onward else "previous"
            loader = self._loader(
                (declaration, name), lambda: _past_cursor(self._work, self._viewer, declaration, onward=onward)
            )
            return bool(await loader.load(PageKey(parent, filter, request)))

        return Connection(
            page=lambda: pages.load(PageKey(parent, filter, request)),
            total=lambda: totals.load(PageKey(parent, filter, None)),
            is_past_cursor=is_past_cursor,
        )

    def _loader(self, key: Hashable, make: Callable[[], Loader]) -> Loader:
        if key not in self.made:
            self.made[key] = make()
        return self.made[key]


# What a dataloader reads refers to no other, and to nothing that holds it: everything is freed as soon as an operation
# ends, rather than in one of the rare garbage collections.


def _by_key(work: UnitOfWork, model: type[Base], statement: Select[Any]) -> Loader:
    """Load the row with each key; None if the statement doesn't find it."""

    async def load(keys: list[UUID]) -> list[Any]:
        found = {row.id: shown(model, row) for row in await work.rows(statement, {"keys": keys})}
        return [found.get(key) for key in keys]

    return Loader(load)


def _computed(work: UnitOfWork, declaration: Computed) -> Loader:
    """Load the value that SQL makes of each row."""
    columns = table_of(declaration.model).c
    value = declaration.expression(columns).label("value")
    statement = select(columns.id, value).where(with_key_in_array(columns.id))

    async def load(keys: list[UUID]) -> list[Any]:
        found = {row.id: row.value for row in await work.rows(statement, {"keys": keys})}
        return [found.get(key) for key in keys]

    return Loader(load)


def _lists(work: UnitOfWork, viewer: Viewer | None, declaration: Rows) -> Loader:
    """Load all rows of each parent, in their order."""

    async def load(keys: list[UUID]) -> list[list[Any]]:
        rows, relation = declaration.statement(viewer), declaration.relation
        statement = each_parent(lambda parent: rows.where(relation(parent)), *declaration.order)
        found = _by_parent(await work.rows(statement, {"parents": keys}))
        model = declaration.model
        return [[row if model is None else shown(model, row) for row in found[key]] for key in keys]

    return Loader(load)


def _pages(work: UnitOfWork, viewer: Viewer | None, declaration: Pages) -> Loader:
    """Load pages: a statement for each set of arguments, whatever the number of parents."""
    collection = declaration.collection

    async def load(keys: list[PageKey]) -> list[Page[Any]]:
        pages: dict[PageKey, Page[Any]] = {}
        for (filter, request), parents in _grouped(keys).items():
            statement = _of_pages(declaration, viewer, filter, request)
            found = _by_parent(await work.rows(statement, {"parents": parents}))
            for parent in parents:
                page = page_of(found[parent], request, lambda row: shown(collection.model, row))
                pages[PageKey(parent, filter, request)] = page
        return [pages[key] for key in keys]

    return Loader(load)


def _past_cursor(work: UnitOfWork, viewer: Viewer | None, declaration: Pages, *, onward: bool) -> Loader:
    """Load whether there are rows past a cursor, of each parent."""
    collection, relation = declaration.collection, _relation(declaration)

    async def load(keys: list[PageKey]) -> list[bool]:
        found: dict[PageKey, bool] = {}
        for (filter, request), parents in _grouped(keys).items():
            listing = collection.listing(viewer, filter)
            statement = listing.past_cursor_each(relation, request, onward=onward)
            for row in await work.rows(statement, {"parents": parents}):
                found[PageKey(getattr(row, PARENT), filter, request)] = row.found
        return [found[key] for key in keys]

    return Loader(load)


def _totals(work: UnitOfWork, viewer: Viewer | None, declaration: Pages) -> Loader:
    collection, relation = declaration.collection, _relation(declaration)

    async def load(keys: list[PageKey]) -> list[int]:
        totals: dict[PageKey, int] = {}
        for (filter, _), parents in _grouped(keys).items():
            statement = collection.listing(viewer, filter).total_each(relation)
            for row in await work.rows(statement, {"parents": parents}):
                totals[PageKey(getattr(row, PARENT), filter, None)] = row.total
        return [totals[key] for key in keys]

    return Loader(load)


@lru_cache(_STATEMENTS_KEPT)
def _referred(model: type[Base], condition: Callable[[Any], Any] | None) -> Select[Any]:
    """Return the statement for the rows of a model with `:keys`, deleted or not, that meet the condition."""
    columns = table_of(model).c
    statement = select_all(model).where(with_key_in_array(columns.id))
    return statement if condition is None else statement.where(condition(columns))


@lru_cache(_STATEMENTS_KEPT)
def _of_pages(declaration: Pages, viewer: Viewer | None, filter: Any, request: PageRequest) -> Select[Any]:
    """Return the statement for the pages of `:parents`. It is kept, as the objects that it consists of are parts of
    cycles, which only a garbage collection frees."""
    return declaration.collection.listing(viewer, filter).page_each(_relation(declaration), request)


def _relation(declaration: Pages) -> Relation:
    assert declaration.relation is not None, "only nested connections are loaded"
    return declaration.relation


def _by_parent(rows: Iterable[Row[Any]]) -> dict[UUID, list[Row[Any]]]:
    found: dict[UUID, list[Row[Any]]] = defaultdict(list)
    for row in rows:
        found[getattr(row, PARENT)].append(row)
    return found


def _grouped(keys: Sequence[PageKey]) -> dict[tuple[Any, Any], list[UUID]]:
    """Return the parents for each set of arguments."""
    groups: dict[tuple[Any, Any], list[UUID]] = defaultdict(list)
    for key in keys:
        groups[key.filter, key.request].append(key.parent)
    return groups
