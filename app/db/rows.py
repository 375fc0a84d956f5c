"""Inserts and updates of rows by the driver, each with a statement that is made once for its table and columns.

With SQLAlchemy's session, mutations took two and a half to four times as long."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from uuid_utils.compat import uuid7

from app.db.models import Base
from app.db.statements import KEY, Prepared, Record, columns_by_attribute, table_of, unnested, with_key_in_array
from app.db.unit_of_work import UnitOfWork


async def insert(work: UnitOfWork, model: type[Base], values: Mapping[str, Any]) -> Record:
    """Insert a row with these attributes, and a new key unless it is given; return it as it is stored."""
    values = values if "id" in values else {"id": uuid7(), **values}
    (row,) = await work.fetch(_insertion(model, tuple(values)), **values)
    return row


async def insert_all(work: UnitOfWork, model: type[Base], rows: Sequence[Mapping[str, Any]]) -> list[Record]:
    """Insert rows that all have the same attributes, with new keys, in one statement; return them in this order."""
    keyed = [{"id": uuid7(), **row} for row in rows]
    inserted = await work.fetch(_insertion_of_many(model, tuple(keyed[0])), **_arrays(keyed))
    by_key = {row.id: row for row in inserted}
    return [by_key[row["id"]] for row in keyed]


async def update(work: UnitOfWork, model: type[Base], key: UUID, changes: Mapping[str, Any]) -> Record:
    """Change these attributes of the row with this key, which is locked; return it as it is now."""
    (row,) = await work.fetch(_update(model, tuple(changes)), key=key, **_new(changes))
    return row


async def update_each(work: UnitOfWork, model: type[Base], rows: Sequence[Mapping[str, Any]]) -> list[Record]:
    """Change locked rows, each with its `id` and the same attributes, in one statement; return them in any order."""
    return [*await work.fetch(_update_of_many(model, tuple(rows[0])), **_arrays(rows))]


async def update_all(
    work: UnitOfWork, model: type[Base], keys: Sequence[UUID], changes: Mapping[str, Any]
) -> Sequence[Record]:
    """Change these attributes of all locked rows with these keys alike; return them as they are now."""
    return await work.fetch(_update_alike(model, tuple(changes)), keys=keys, **_new(changes)) if keys else ()


@cache
def _insertion(model: type[Base], names: tuple[str, ...]) -> Prepared:
    columns = table_of(model).c
    values = {name: sa.bindparam(name, type_=columns[name].type) for name in names}
    return Prepared(sa.insert(table_of(model)).values(values).returning(*columns_by_attribute(model)))


@cache
def _insertion_of_many(model: type[Base], names: tuple[str, ...]) -> Prepared:
    given = _given(model, names)
    inserted = sa.insert(table_of(model)).from_select([*names], sa.select(*given.c), include_defaults=False)
    return Prepared(inserted.returning(*columns_by_attribute(model)))


@cache
def _update(model: type[Base], names: tuple[str, ...]) -> Prepared:
    changed = _changed(model, names).where(table_of(model).c.id == KEY)
    return Prepared(changed.returning(*columns_by_attribute(model)))


@cache
def _update_alike(model: type[Base], names: tuple[str, ...]) -> Prepared:
    changed = _changed(model, names).where(with_key_in_array(table_of(model).c.id))
    return Prepared(changed.returning(*columns_by_attribute(model)))


@cache
def _update_of_many(model: type[Base], names: tuple[str, ...]) -> Prepared:
    table, given = table_of(model), _given(model, names)
    values = {name: given.c[name] for name in names if name != "id"}
    changed = sa.update(table).where(table.c.id == given.c.id).values({**values, **_next_version(model)})
    return Prepared(changed.returning(*columns_by_attribute(model)))


def _changed(model: type[Base], names: tuple[str, ...]) -> sa.Update:
    columns = table_of(model).c
    values = {name: sa.bindparam(f"new_{name}", type_=columns[name].type) for name in names}
    return sa.update(table_of(model)).values({**values, **_next_version(model)})


def _next_version(model: type[Base]) -> Mapping[str, sa.ColumnElement[int]]:
    version = sa.inspect(model).version_id_col
    return {} if version is None else {str(version.key): version + 1}


def _given(model: type[Base], names: tuple[str, ...]) -> sa.TableValuedAlias:
    """Return the rows of the arrays, one for each attribute and named as it."""
    types = {name: table_of(model).c[name].type for name in names}
    return unnested("given", types, (sa.bindparam(name, type_=ARRAY(type_)) for name, type_ in types.items()))


def _arrays(rows: Sequence[Mapping[str, Any]]) -> Mapping[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in rows[0]}


def _new(changes: Mapping[str, Any]) -> Mapping[str, Any]:
    return {f"new_{name}": value for name, value in changes.items()}
