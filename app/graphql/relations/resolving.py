"""The resolver path: what a declared field returns of an object, by graphql-core's call of its resolver."""

from asyncio import Future, gather
from collections.abc import Awaitable, Mapping
from typing import Any, assert_never

from sqlalchemy import select

from app.db.statements import table_of
from app.global_ids import global_id
from app.graphql.inputs import Given
from app.graphql.node import OfRow, shown
from app.graphql.relations import declarations as declared
from app.graphql.relations.connections import Edge, PageArgs, root_connection
from app.graphql.relations.declarations import Declaration, Row
from app.security.viewer import require


def resolve(declaration: Declaration, source: Any, info: Any, arguments: Mapping[str, Any]) -> Any:
    """Return the value of a field, or what awaits it."""
    row = source.row if isinstance(source, OfRow) else source
    match declaration:
        case declared.Column():
            return _column(declaration, row, info)
        case declared.Computed():
            return info.context.loaders.computed(declaration).load(row.id)
        case declared.Embedded() | declared.Itself() | declared.AsEdge():
            return _of_same_row(declaration, row)
        case declared.Identifier():
            return global_id(declaration.type_name, row.id)
        case declared.Reference():
            key = declaration.key(row)
            return None if key is None else info.context.loaders.reference(declaration).load(key)
        case declared.Through():
            return _through(declaration, row, info)
        case declared.Rows():
            return info.context.loaders.rows(declaration).load(row.id)
        case declared.Pages():
            return _pages(declaration, row, info.context, arguments)
        case declared.Lookup():
            return _lookup(declaration, info.context, arguments)
        case declared.Nodes():
            return _nodes(declaration, info.context, arguments)
        case _:
            assert_never(declaration)


def _column(declaration: declared.Column, row: Row, info: Any) -> Any:
    if declaration.visible is not None and not declaration.visible(info.context.viewer, row):
        return None
    return declaration.expression(row)


def _of_same_row(declaration: declared.OfSameRow, row: Row) -> Any:
    match declaration:
        case declared.Embedded(type_, fields_of, present):
            fields = fields_of(row)
            return None if present is not None and fields[present] is None else type_(**fields)
        case declared.Itself(model):
            return shown(model, row)
        case declared.AsEdge(model, ordering):
            return Edge(cursor=ordering.cursor_of(row), node=shown(model, row))


async def _through(declaration: declared.Through, row: Row, info: Any) -> Any:
    reference = declaration.reference
    other = await info.context.loaders.reference(reference).load(reference.key(row))
    return resolve(declaration.declaration, other, info, {})


def _pages(declaration: declared.Pages, row: Row, context: Any, arguments: Mapping[str, Any]) -> Any:
    require(declaration.access, context.viewer)
    filter, _, request = requested(declaration, arguments)
    if declaration.visible is not None and not declaration.visible(context.viewer, row):
        return None
    if declaration.relation is None:
        return root_connection(context.work, declaration.collection.listing(context.viewer, filter), request)
    return context.loaders.connection(declaration, row.id, filter, request)


def requested(declaration: declared.Pages, arguments: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    """Return the filter, what orders by it, and the page that the arguments ask for."""
    inputs = {name: given.checked() for name, given in arguments.items() if isinstance(given, Given)}
    page = PageArgs.of(arguments)
    filter, ordering = declaration.collection.chosen(inputs.get("filter"), inputs.get("order_by"))
    return filter, ordering, page.on(ordering(filter))


async def _lookup(declaration: declared.Lookup, context: Any, arguments: Mapping[str, Any]) -> Any:
    key = declaration.key(context.viewer, **arguments)
    if isinstance(key, declared.Unique):
        row = await context.work.row(select(table_of(declaration.model).c.id).where(key.column == key.value))
        key = None if row is None else row.id
    return None if key is None else await context.loaders.lookup(declaration).load(key)


def _nodes(declaration: declared.Nodes, context: Any, arguments: Mapping[str, Any]) -> Awaitable[Any]:
    ids = declaration.ids(**arguments)
    found: list[Future[Any]] = [context.loaders.node(name).load(key) for name, key in ids]
    return _many(found) if "ids" in arguments else found[0]


async def _many(found: list[Future[Any]]) -> list[Any]:
    return await gather(*found)  # not before somebody awaits it, who then retrieves its exception
