"""What the statements of every repository are made of.

Reads select a table's columns and get rows, at half the cost of entities. Keys go as one array, so that a
statement is compiled once whatever their number."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import starmap
from typing import Any

import sqlalchemy as sa
from asyncpg import Record as DriverRecord
from asyncpg import UniqueViolationError
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import ARRAY, asyncpg

from app.db.models import Base
from app.errors import Conflict, ConflictCode
from app.inputs import DateTimeRange

KEY = sa.bindparam("key", type_=sa.Uuid())
KEYS = sa.bindparam("keys", type_=ARRAY(sa.Uuid))

_DIALECT = asyncpg.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy's dialects are untyped
_SCALE = 1_000_000
_BELOW_ONE = 32  # ts_rank's normalization to rank / (rank + 1)


class Record(DriverRecord):
    """A row as the driver returns it, its columns also attributes, as of SQLAlchemy's rows."""

    def __getattr__(self, name: str) -> Any:
        return self[name]


class Prepared:
    """A statement whose text is made once, and which the driver runs itself: SQLAlchemy takes 0.1 ms to run one."""

    def __init__(self, statement: sa.Executable) -> None:
        written: Any = statement
        compiled = written.compile(dialect=_DIALECT)
        given_later = {name: None for parameter, name in compiled.bind_names.items() if parameter.required}
        expanded = compiled.construct_expanded_state(given_later)
        self.sql: str = expanded.statement
        self.names: Sequence[str] = expanded.positiontup or ()
        self.constants = dict(expanded.parameters)
        """The values that the statement itself has bound, as the driver takes them."""
        for parameter, name in compiled.bind_names.items():
            process = parameter.type.dialect_impl(_DIALECT).bind_processor(_DIALECT)
            for key in expanded.parameter_expansion.get(name, [name]):  # an IN has one for each element
                if process is not None and self.constants.get(key) is not None:
                    self.constants[key] = process(self.constants[key])

    def arguments(self, values: Mapping[str, Any]) -> list[Any]:
        """Return what is sent with the text, in the order of its parameters."""
        return [values[name] if name in values else self.constants[name] for name in self.names]


def table_of(model: type[Base]) -> sa.Table:
    """Return the table of a mapped class."""
    table = model.__table__
    assert isinstance(table, sa.Table)
    return table


def columns_of(model: type[Base]) -> list[sa.ColumnElement[Any]]:
    """Return the columns that a read selects: all but the deferred ones."""
    return [column for prop in sa.inspect(model).column_attrs if not prop.deferred for column in prop.columns]


def select_all(model: type[Base]) -> sa.Select[Any]:
    """Return a statement for all rows of a mapped class, deleted or not."""
    return sa.select(*columns_of(model))


def columns_by_attribute(model: type[Base]) -> list[sa.ColumnElement[Any]]:
    """Return the columns that a read selects, each named as its attribute: a Record has no other names."""
    return [column.label(column.key) for column in columns_of(model)]


def select_rows(model: type[Base]) -> sa.Select[Any]:
    """Return a statement for the rows of a mapped class, deleted or not, as Records."""
    return sa.select(*columns_by_attribute(model))


def unforeseen(parameter: sa.BindParameter[Any]) -> sa.ColumnElement[Any]:
    """Return the parameter as a value that Postgres does not look at when it plans.

    It would plan for each array anew, as it considers a generic plan too expensive: that took most of the
    time of a look-up by a few keys."""
    return sa.cast(sa.select(parameter).scalar_subquery(), parameter.type)


def with_key_in_array(column: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
    """Return the condition that the column is one of the array `:keys`."""
    return column == sa.any_(unforeseen(KEYS))


def unnested(name: str, columns: Mapping[str, Any], arrays: Iterable[Any]) -> sa.TableValuedAlias:
    """Return the rows of arrays, one for each column of this name and type."""
    return sa.func.unnest(*arrays).table_valued(*starmap(sa.column, columns.items())).render_derived(name)


def rows_of(name: str, columns: Mapping[str, Any], rows: Sequence[Sequence[Any]]) -> sa.TableValuedAlias:
    """Return rows as a part of a statement: any number of them is one parameter for each column."""
    values = zip(*rows, strict=True)
    arrays = (sa.literal([*value], ARRAY(type_)) for value, type_ in zip(values, columns.values(), strict=True))
    return unnested(name, columns, arrays)


def within(column: sa.ColumnElement[Any], range: DateTimeRange | None) -> list[sa.ColumnElement[bool]]:
    """Return the conditions that a time lies within a range."""
    found = []
    if range is not None and range.gte is not None:
        found.append(column >= range.gte)
    if range is not None and range.lt is not None:
        found.append(column < range.lt)
    return found


def matches(search_vector: sa.ColumnElement[Any], words: str) -> sa.ColumnElement[bool]:
    """Return the condition that every word begins a word of the searched text."""
    return search_vector.bool_op("@@")(_query(words))


def has_words(search_vector: sa.ColumnElement[Any], words: str) -> sa.ColumnElement[bool]:
    """Return the same condition such that Postgres compares it with each row, and reads no index of words for it."""
    return sa.func.ts_match_vq(search_vector, _query(words), type_=sa.Boolean)


def unindexed(column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """Return the column as no index holds it, to order by what an index of words has found.

    How many rows have a word cannot be foreseen: with an index in the order of the column, Postgres looks through
    all rows for a word that none has (0.2 s of 200,000 products)."""
    return sa.func.greatest(column, type_=column.type)


def compared(column: sa.ColumnElement[Any], comparison: Callable[[Any, Any], Any], value: Any) -> Any:
    """Return the condition that a column compares so with a value, where a list is read in the order of an index that
    also holds the column.

    Postgres can't see the values of an array from a subquery, and assumes that most rows match one of them, so it keeps
    to the order of the index. Of those between two bounds, a prepared statement would assume 0.5 %, and collect and
    sort them: 100,000 rows take 0.1 s."""
    array = postgresql.array([value if isinstance(value, sa.BindParameter) else sa.literal(value, column.type)])
    return comparison(column, sa.any_(sa.cast(sa.select(array).scalar_subquery(), ARRAY(column.type))))


def disguised(column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """Return what equals the column, but only indexes that are declared with it can serve: `least(price)` not the index
    of prices, which has all those of a range to sort, and `least(id)` not the primary key, which has nothing that a
    filter compares."""
    return sa.func.least(column, type_=column.type)


def relevance(search_vector: sa.ColumnElement[Any], words: str) -> sa.ColumnElement[Any]:
    """Return how well the row matches: with every word in what has weight A above all others, then by the rank.
    It is an integer, as equal ranks must be equal in a cursor, too."""
    query = _query(words)
    in_weight_a = sa.func.ts_filter(search_vector, sa.literal_column("'{a}'")).bool_op("@@")(query)
    rank = sa.func.ts_rank(search_vector, query, _BELOW_ONE)
    return sa.cast((sa.cast(in_weight_a, sa.Integer) + rank) * _SCALE, sa.Integer)


def _query(words: str) -> sa.ColumnElement[Any]:
    """Return the words as a query of its own, which is made once; a prepared statement would make it for each row."""
    return sa.select(sa.func.word_query(words)).scalar_subquery()


@contextmanager
def conflicts(fields: Mapping[str, tuple[str, ConflictCode, str]]) -> Iterator[None]:
    """Turn the violation of a unique index, by its name, into a Conflict of this field with this code and message."""
    try:
        yield
    except UniqueViolationError as violation:
        name = str(violation.constraint_name)
        if name not in fields:
            raise
        field, code, message = fields[name]
        raise Conflict((field,), code, message) from None
