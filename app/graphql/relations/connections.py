"""Relay's connections over keyset pages. A page and a total are read only when a field asks for them."""

from asyncio import Future, ensure_future, shield
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from typing import Any, Generic, NamedTuple, Self, TypeVar

import strawberry
from sqlalchemy import select
from strawberry import UNSET

from app.db.pagination import (
    MOST_COUNTED,
    Listing,
    Ordering,
    Page,
    PageRequest,
    page_of,
    page_request,
    paginate,
    past_cursor,
    total_of,
)
from app.db.unit_of_work import UnitOfWork
from app.graphql.node import shown

T = TypeVar("T")
NodeType = TypeVar("NodeType")
IsPastCursor = Callable[[bool], Awaitable[bool]]
"""Reads whether there are items past the cursor that a page ends before, or else before the one it starts after."""


@strawberry.type(description="The position of a page within its list.")
class PageInfo:
    page: strawberry.Private[Page[Any]]
    is_past_cursor: strawberry.Private[IsPastCursor]

    @strawberry.field(description="Whether there are more items after this page.")
    async def has_next_page(self) -> bool:
        return self.page.has_next or await self.is_past_cursor(True)

    @strawberry.field(description="Whether there are items before this page.")
    async def has_previous_page(self) -> bool:
        return self.page.has_previous or await self.is_past_cursor(False)

    start_cursor: str | None = strawberry.field(
        description="Cursor of the first item. Pass it as `before` to get the previous page. Null if the page is empty."
    )
    end_cursor: str | None = strawberry.field(
        description="Cursor of the last item. Pass it as `after` to get the next page. Null if the page is empty."
    )


@strawberry.type(description="An item and its cursor.")
class Edge(Generic[NodeType]):
    cursor: str = strawberry.field(description="The item's position in the list. Pass it as `after` or `before`.")
    node: NodeType = strawberry.field(description="The item.")


@strawberry.type(description="A page of a list, with the cursors to request other pages.")
class Connection(Generic[NodeType]):
    page: strawberry.Private[Callable[[], Awaitable[Page[Any]]]]
    total: strawberry.Private[Callable[[], Awaitable[int]]]
    """Counts the items, at most one more than MOST_COUNTED."""
    is_past_cursor: strawberry.Private[IsPastCursor]

    @strawberry.field(description="The items of this page, each with its cursor.")
    async def edges(self) -> list[Edge[NodeType]]:
        page = await self.page()
        return [
            Edge(cursor=page.ordering.cursor(row), node=node) for row, node in zip(page.rows, page.nodes, strict=True)
        ]

    @strawberry.field(description="The items of this page.")
    async def nodes(self) -> list[NodeType]:
        return list((await self.page()).nodes)

    @strawberry.field(description="The position of this page within the list.")
    async def page_info(self) -> PageInfo:
        page = await self.page()
        return PageInfo(
            page=page,
            is_past_cursor=self.is_past_cursor,
            start_cursor=page.ordering.cursor(page.rows[0]) if page.rows else None,
            end_cursor=page.ordering.cursor(page.rows[-1]) if page.rows else None,
        )

    @strawberry.field(
        description=(
            f"Number of items on all pages, at most {MOST_COUNTED:,}: see `totalCountIsExact`. Computed only when "
            "selected; costs more than a page."
        )
    )
    async def total_count(self) -> int:
        return min(await self.total(), MOST_COUNTED)

    @strawberry.field(
        description="Whether `totalCount` is the number of all items. If not, there are more. Costs nothing beside it."
    )
    async def total_count_is_exact(self) -> bool:
        return await self.total() <= MOST_COUNTED


class PageArgs(NamedTuple):
    """Relay's four arguments; None if the client left one out."""

    first: int | None
    after: str | None
    last: int | None
    before: str | None

    @classmethod
    def of(cls, arguments: Mapping[str, Any]) -> Self:
        """Return the four among a field's arguments."""
        given = (arguments.get(name) for name in cls._fields)
        return cls(*(None if value is UNSET else value for value in given))

    def on(self, ordering: Ordering) -> PageRequest:
        """Return the page of a list in this order; BadUserInput if there is no such page."""
        return page_request(ordering, *self)


def root_connection(work: UnitOfWork, listing: Listing, request: PageRequest) -> Connection[Any]:
    """Return the connection over a list at the root of a query."""

    async def read_page() -> Page[Any]:
        rows = await work.rows(paginate(listing.statement, request))
        return page_of(rows, request, lambda row: shown(listing.model, row))

    async def read_total() -> int:
        row = await work.row(total_of(listing.statement, listing.search))
        return int(row[0]) if row else 0

    async def is_past_cursor(onward: bool) -> bool:
        found = past_cursor(listing.statement, request, onward=onward)
        row = None if found is None else await work.row(select(found))
        return bool(row and row[0])

    past = {onward: _once(partial(is_past_cursor, onward)) for onward in (True, False)}
    return Connection(page=_once(read_page), total=_once(read_total), is_past_cursor=lambda onward: past[onward]())


def _once(read: Callable[[], Coroutine[Any, Any, T]]) -> Callable[[], Awaitable[T]]:
    """Return a reader that reads once, however many fields ask. If one of those fields is cancelled because a field
    beside it failed, the read goes on: the others still need it, and cancelling it would break the connection."""
    result: Future[T] | None = None

    def reader() -> Awaitable[T]:
        nonlocal result
        if result is None:
            result = ensure_future(read())
            # It may fail when nobody waits any more: a client that disconnects ends the operation halfway.
            result.add_done_callback(lambda read: read.cancelled() or read.exception())
        return shield(result)

    return reader
