"""Relay's connections over keyset pages. A page and a total are read only when a field asks for them."""

from asyncio import Future, ensure_future, shield
from collections.abc import Awaitable, Callable, Coroutine
from typing import Annotated, Any, Generic, NamedTuple, TypeVar

import strawberry
from sqlalchemy import Row
from strawberry import UNSET
from strawberry.extensions import FieldExtension
from strawberry.extensions.field_extension import SyncExtensionResolver
from strawberry.types.field import StrawberryField
from strawberry.types.fields.resolver import StrawberryResolver

from app.db.pagination import Listing, Ordering, Page, PageRequest, page_of, page_request
from app.db.unit_of_work import UnitOfWork
from app.graphql.arguments import or_none
from app.graphql.operations.cost import costs
from app.graphql.relations.meaning import Pages, in_sql

T = TypeVar("T")
NodeType = TypeVar("NodeType")


@strawberry.type(description="Where a page lies in its list.")
class PageInfo:
    has_next_page: bool = strawberry.field(description="Whether the list goes on after this page.")
    has_previous_page: bool = strawberry.field(description="Whether the list has something before this page.")
    start_cursor: str | None = strawberry.field(description="The cursor of the first node; null on an empty page.")
    end_cursor: str | None = strawberry.field(
        description="The cursor of the last node, to pass as `after` for the next page; null on an empty page."
    )


@strawberry.type(description="A node and its place in the list.")
class Edge(Generic[NodeType]):
    cursor: str = strawberry.field(description="The node's place in the list, to pass as `after` or `before`.")
    node: NodeType = strawberry.field(description="The node itself.")


@strawberry.type(description="A page of a list, and what is needed to ask for the next one.")
class Connection(Generic[NodeType]):
    page: strawberry.Private[Callable[[], Awaitable[Page[Any]]]]
    total: strawberry.Private[Callable[[], Awaitable[int]]]

    @strawberry.field(description="The nodes of this page, each with its cursor.")
    async def edges(self) -> list[Edge[NodeType]]:
        page = await self.page()
        return [
            Edge(cursor=page.ordering.cursor(row), node=node) for row, node in zip(page.rows, page.nodes, strict=True)
        ]

    @strawberry.field(description="The nodes of this page.")
    async def nodes(self) -> list[NodeType]:
        return list((await self.page()).nodes)

    @strawberry.field(description="Where this page lies in the list.")
    async def page_info(self) -> PageInfo:
        page = await self.page()
        return PageInfo(
            has_next_page=page.has_next,
            has_previous_page=page.has_previous,
            start_cursor=page.ordering.cursor(page.rows[0]) if page.rows else None,
            end_cursor=page.ordering.cursor(page.rows[-1]) if page.rows else None,
        )

    @strawberry.field(
        description="How many there are on all pages. Counted only when asked for, and as dear as ten objects.",
        metadata=costs(10),
    )
    async def total_count(self) -> int:
        return await self.total()


class Window(NamedTuple):
    """The page that a client asks for; what it did not say is UNSET."""

    first: int | None
    after: str | None
    last: int | None
    before: str | None

    def on(self, ordering: Ordering) -> PageRequest:
        """Return the page of a list in this order; BadUserInput where there is none such."""
        return page_request(
            ordering, or_none(self.first), or_none(self.after), or_none(self.last), or_none(self.before)
        )


def _window(
    first: Annotated[
        int | None,
        strawberry.argument(
            description=(
                "How many to return from the start: 0 to 100, 20 unless told. Not with `last`. Each costs a point, and "
                "again what is selected of it."
            )
        ),
    ] = UNSET,
    after: Annotated[
        str | None, strawberry.argument(description="Return what comes after the place of this cursor.")
    ] = UNSET,
    last: Annotated[
        int | None, strawberry.argument(description="How many to return from the end: 0 to 100. Not with `first`.")
    ] = UNSET,
    before: Annotated[
        str | None, strawberry.argument(description="Return what comes before the place of this cursor.")
    ] = UNSET,
) -> Window:
    """Return a window of these, as a field takes them."""
    return Window(first, after, last, before)


class _Paged(FieldExtension):
    """Gives a field the arguments of a page, which its resolver gets as one: `window`."""

    def apply(self, field: StrawberryField) -> None:
        """Put the four in the place of the one."""
        others = [argument for argument in field.arguments if argument.python_name != "window"]
        field.arguments = [*StrawberryResolver(_window).arguments, *others]

    def resolve(self, next_: SyncExtensionResolver, source: Any, info: Any, **given: Any) -> Any:
        """Run the resolver."""
        window = _window(**{name: given.pop(name) for name in Window._fields if name in given})
        return next_(source, info, window=window, **given)


def paged(description: str, meaning: Pages) -> Any:
    """Make a field that returns a connection, and means these pages in SQL, out of a resolver with a `window`."""
    return strawberry.field(description=description, metadata=in_sql(meaning), extensions=[_Paged()])


def connection(
    work: UnitOfWork, listing: Listing, request: PageRequest, make: Callable[[Row[Any]], NodeType]
) -> Connection[NodeType]:
    """Return the connection over a list that stands at the root of a query."""

    async def read_page() -> Page[NodeType]:
        return page_of(await work.rows(listing.page(request)), request, make)

    async def read_total() -> int:
        row = await work.row(listing.total())
        return int(row[0]) if row else 0

    return Connection(page=_once(read_page), total=_once(read_total))


def empty_connection(request: PageRequest) -> Connection[Any]:
    """Return the connection for a viewer who may see nothing of the list: as if it were empty; nothing is read."""

    async def read_page() -> Page[Any]:
        return page_of((), request, lambda row: row)

    async def read_total() -> int:
        return 0

    return Connection(page=read_page, total=read_total)


def _once(read: Callable[[], Coroutine[Any, Any, T]]) -> Callable[[], Awaitable[T]]:
    """Return a reader that reads once, however many fields ask. A field that is given up, since one beside it failed,
    does not end the reading: that would end the connection, which other fields still need."""
    result: Future[T] | None = None

    def reader() -> Awaitable[T]:
        nonlocal result
        if result is None:
            result = ensure_future(read())
            # which may fail when nobody waits for it any more: a client that goes ends the operation in the middle
            result.add_done_callback(lambda read: read.cancelled() or read.exception())
        return shield(result)

    return reader
