"""A schema that could show a text with the compiled path's own quotation mark is refused."""

from typing import Any

import pytest
import strawberry
from sqlalchemy import (
    CheckConstraint,
    Column,
    ColumnElement,
    Computed,
    Enum,
    Integer,
    MetaData,
    Table,
    Text,
    Uuid,
    bindparam,
    case,
    cast,
    func,
    literal,
    literal_column,
    null,
    select,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from strawberry.scalars import JSON

from app.db.models import AuditEntry, Order, Product
from app.db.statements import table_of
from app.db.texts import QUOTE, forbid_quote, is_free_of_quote
from app.graphql.compiled import safety
from app.graphql.compiled.safety import check_texts, unguarded
from app.graphql.relations.declarations import DECLARATION, Declaration, Embedded, Lookup, Reference, Through
from app.graphql.relations.declarations import Column as DeclaredColumn
from app.graphql.schema import schema

notes = Table(
    "notes",
    MetaData(),
    Column("id", Uuid),
    Column("text", Text),
    Column("lines", ARRAY(Text)),
    Column("numbers", ARRAY(Integer)),
    Column("length", Integer),
    Column("details", JSONB),
    Column("kind", Enum("A", "B", native_enum=False)),
    Column("closed_kind", Enum("A", "B", native_enum=False, create_constraint=True, name="closed")),
    Column("folded", Text, Computed("folded(text)")),
    CheckConstraint("length > 0"),
)
products, orders, entries = table_of(Product).c, table_of(Order).c, table_of(AuditEntry).c


def schema_with(name: str, annotation: object, declaration: Declaration | None = None) -> strawberry.Schema:
    """Return a schema of notes that have this field, which shows its column where nothing else is declared."""
    field: Any = strawberry.field(metadata={} if declaration is None else {DECLARATION: declaration})
    note = strawberry.type(type("Note", (), {"__annotations__": {name: annotation}, name: field}))

    def find() -> None:
        return None

    find.__annotations__ = {"return": note | None}
    lookup = Lookup(Product, lambda *_: None, lambda _: select(notes))
    found = strawberry.field(find, metadata={DECLARATION: lookup})
    return strawberry.Schema(strawberry.type(type("Query", (), {"note": found})))


@strawberry.type
class Amount:
    currency: str


def test_a_column_whose_constraint_was_forgotten_is_refused() -> None:
    with pytest.raises(TypeError, match=r"Note\.text shows notes\.text, which may hold U\+007F"):
        check_texts(schema_with("text", str))


REFUSED: dict[str, tuple[str, object, Declaration | None]] = {
    "an array": ("lines", list[str], None),
    "a null": ("text", str | None, None),
    "an enum that the database does not check": ("kind", str, None),
    "a generated column": ("folded", str, None),
    "part of a text": ("shown", str, DeclaredColumn(lambda note: literal("a ").concat(note.text))),
    "a condition's result": ("shown", str, DeclaredColumn(lambda note: case((note.length > 1, note.text), else_="b"))),
    "an embedded object": ("shown", Amount, Embedded(Amount, lambda note: {"currency": note.text})),
}


@pytest.mark.parametrize("name", REFUSED)
def test_whatever_else_shows_such_a_text_is_refused(name: str) -> None:
    field, annotation, declaration = REFUSED[name]
    with pytest.raises(TypeError, match=r"(Note|Amount)\.\w+ shows notes\.\w+"):
        check_texts(schema_with(field, annotation, declaration))


TO_ORDER = Reference(Order, lambda note: note.id)
THROUGH: dict[str, tuple[object, DeclaredColumn | Embedded]] = {
    "a text": (str, DeclaredColumn(lambda order: order.customer_name)),
    "part of a text": (str, DeclaredColumn(lambda order: literal("a ").concat(order.customer_name))),
    "an embedded object": (Amount, Embedded(Amount, lambda order: {"currency": order.customer_name})),
}


def forget_constraint(monkeypatch: pytest.MonkeyPatch, column: Column[Any]) -> None:
    """Let a column of the database be as if it had no constraint."""
    forgotten = (column.table.name, column.key)
    free = lambda each: (each.table.name, each.key) != forgotten and is_free_of_quote(each)  # noqa: E731
    monkeypatch.setattr(safety, "is_free_of_quote", free)


@pytest.mark.parametrize("name", THROUGH)
def test_a_text_that_is_shown_through_another_row_needs_its_constraint(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    annotation, declaration = THROUGH[name]
    built = schema_with("shown", annotation, Through(TO_ORDER, declaration))
    check_texts(built)

    forget_constraint(monkeypatch, orders.customer_name)

    with pytest.raises(TypeError, match=r"(Note\.shown|Amount\.currency) shows orders\.customer_name"):
        check_texts(built)


@pytest.mark.parametrize("name", ["number", "customer_name", "note", "recipient", "address_lines", "city", "country"])
def test_each_text_of_an_order_that_its_parts_show_needs_its_constraint(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    forget_constraint(monkeypatch, orders[name])

    with pytest.raises(TypeError, match=rf"(Order|StoreOrder|ShippingAddress)\.\w+ shows orders\.{name}"):
        check_texts(schema)


ACCEPTED: dict[str, tuple[str, object, Declaration | None]] = {
    "a number": ("length", int, None),
    "an enum that the database checks": ("closed_kind", str, None),
    "what the compiled path declines": ("details", JSON, None),
    "a list that the compiled path declines": ("numbers", list[int], None),
    "what is no column": ("other", str, None),
    "a condition on such a text": ("shown", bool, DeclaredColumn(lambda note: note.text == "a")),
    "a constant": ("shown", str, DeclaredColumn(lambda note: literal("a").concat(cast(note.id, Text)))),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_cannot_hold_the_character_is_accepted(name: str) -> None:
    check_texts(schema_with(*ACCEPTED[name]))


def test_with_its_constraint_a_column_is_accepted() -> None:
    constrained = notes.to_metadata(MetaData())
    forbid_quote(constrained)

    assert not list(unguarded(constrained.c.text))
    assert not list(unguarded(constrained.c.lines))
    assert list(unguarded(constrained.c.folded))


GUARDED: list[ColumnElement[Any]] = [
    products.name,
    products.name.label("other"),
    products.name.concat(" ").concat(cast(products.id, Text)),
    func.coalesce(products.description, products.name, literal_column("'none'", Text), null()),
    func.lower(products.name),
    cast(products.price, Text),
    case((notes.c.text == "a", "b"), else_=products.name),
    orders.status,
    entries.fields,
    notes.c.closed_kind,
    select(products.name.label("other")).subquery().c.other,
    products.name.table.alias().c.name,
    select(products.name).where(products.id == notes.c.id, notes.c.text == "a").scalar_subquery(),
]
UNGUARDED: list[ColumnElement[Any]] = [
    notes.c.text,
    notes.c.text.label("other"),
    products.name.concat(notes.c.text),
    products.name.concat(" ").concat(notes.c.text).concat("."),
    func.coalesce(products.name, notes.c.text),
    func.chr(127),
    func.chr(127, type_=Text),
    func.translate(products.name, "a", "b", type_=Text),
    cast(notes.c.details, Text),
    type_coerce(notes.c.text, Integer),
    literal(f"a{QUOTE}"),
    bindparam("given", type_=Text, required=False),
    literal_column("other_table.text", Text),
    literal_column("E'\\x7f'", Text),
    literal_column(f"'{QUOTE}'", Text),
    notes.c.details["a"].astext,
    select(notes.c.text.label("other")).subquery().c.other,
    select(func.max(notes.c.text, type_=Text).label("other")).subquery().c.other,
    notes.alias().c.text,
    select(notes.c.text).scalar_subquery(),
    case((products.stock > 1, products.name), else_=notes.c.text),
]


@pytest.mark.parametrize("value", GUARDED, ids=str)
def test_expressions_that_are_safe(value: ColumnElement[Any]) -> None:
    assert list(unguarded(value)) == []


@pytest.mark.parametrize("value", UNGUARDED, ids=str)
def test_expressions_that_are_not(value: ColumnElement[Any]) -> None:
    assert list(unguarded(value))


def test_the_schema_of_the_api_is_safe() -> None:
    check_texts(schema)
