"""Changes of the schema, by small schemas that differ in one thing."""

from datetime import date

import pytest
from graphql import GraphQLSchema, build_schema

from tools.schema_changes import Effect, changes, documented_in, malformed_deprecations, objections, short_notices

TODAY = date(2027, 6, 30)
SCHEMA = '''
"""A directive."""
directive @shout(loud: Boolean) repeatable on QUERY | FIELD

scalar DateTime @specifiedBy(url: "https://example.com/rfc3339")
interface Node { id: ID! }
interface Error { message: String! }
type Order implements Node {
  id: ID! date: DateTime customer: String!
  items(first: Int, after: String = ""): [String!]!
}
type NotFound implements Error { message: String! }
type Short { message: String! }
union Placed = Order | NotFound
enum Status { OPEN DONE @deprecated(reason: "Nothing replaces it. Since 1.0.0; goes after 2027-06-29.") }
input Filter { status: Status city: String size: Int! = 20 }
input Key @oneOf { id: ID name: String }
type Query {
  order(id: ID!, at: DateTime): Order
  orders(filter: Filter): [Order!]!
  placed: Placed
  old: Int @deprecated(reason: "Use `order` instead. Since 1.0.0; goes after 2027-06-29.")
  older: Int @deprecated(reason: "Use `order` instead. Since 1.0.0; goes after 2027-06-30.")
  short: Short
  status: Status
}
type Mutation { cancel(id: ID!): Order }
'''
KINDS = {
    # what is written otherwise: (old text, new text): effect, coordinate
    ("  short: Short\n", ""): ("Breaking", "Query.short"),
    ("first: Int, ", ""): ("Breaking", "Order.items(first:)"),
    ("OPEN DONE", "DONE"): ("Breaking", "Status.OPEN"),
    (" city: String", ""): ("Breaking", "Filter.city"),
    ("= Order | NotFound", "= Order"): ("Breaking", "Placed.NotFound"),
    ("NotFound implements Error", "NotFound"): ("Breaking", "NotFound.Error"),
    ("customer: String!", "customer: String"): ("Breaking", "Order.customer"),
    ("customer: String!", "customer: [String!]!"): ("Breaking", "Order.customer"),
    ("at: DateTime)", "at: DateTime!)"): ("Breaking", "Query.order(at:)"),
    ("at: DateTime)", "at: DateTime, by: ID!)"): ("Breaking", "Query.order(by:)"),
    ("city: String", "city: String!"): ("Breaking", "Filter.city"),
    ("city: String", "city: String zip: ID!"): ("Breaking", "Filter.zip"),
    ("type Short { message: String! }", "input Short { message: String! }"): ("Breaking", "Short"),
    ("input Filter {", "input Filter @oneOf {"): ("Breaking", "Filter"),
    ("directive @shout(loud: Boolean) repeatable on QUERY | FIELD", ""): ("Breaking", "@shout"),
    ("@shout(loud: Boolean)", "@shout"): ("Breaking", "@shout(loud:)"),
    ("@shout(loud: Boolean)", "@shout(loud: Boolean, how: Int!)"): ("Breaking", "@shout(how:)"),
    ("QUERY | FIELD", "QUERY"): ("Breaking", "@shout"),
    (" repeatable", ""): ("Breaking", "@shout"),
    ("size: Int! = 20", "size: Int!"): ("Breaking", "Filter.size"),
    ('after: String = ""', "after: String!"): ("Breaking", "Order.items(after:)"),
    ("type Short {", "schema { query: Short mutation: Mutation } type Short {"): ("Breaking", "Query"),
    ("type Mutation", "schema { query: Query } type Mutation"): ("Breaking", "Mutation"),
    ("= Order | NotFound", "= Order | NotFound | Short"): ("Check", "Placed.Short"),
    ("OPEN DONE", "OPEN LATE DONE"): ("Check", "Status.LATE"),
    ("type Short {", "type Short implements Error {"): ("Check", "Short.Error"),
    ('after: String = ""', 'after: String = "x.y"'): ("Check", "Order.items(after:)"),
    ('after: String = ""', "after: String"): ("Check", "Order.items(after:)"),
    ("size: Int! = 20", "size: Int! = 30"): ("Check", "Filter.size"),
    ("city: String", 'city: String = "Lyon"'): ("Check", "Filter.city"),
    ("first: Int", "first: Int = 20"): ("Check", "Order.items(first:)"),
    ("rfc3339", "rfc9999"): ("Check", "DateTime"),
    ("at: DateTime)", "at: DateTime, by: ID)"): ("Added", "Query.order(by:)"),
    ("city: String", "city: String zip: ID"): ("Added", "Filter.zip"),
    ("date: DateTime", "date: DateTime!"): ("Added", "Order.date"),
    ("type Short {", "type New { id: ID } type Short {"): ("Added", "New"),
    ("  short: Short\n", "  short: Short\n  long: Int\n"): ("Added", "Query.long"),
    ("  short: Short\n", "  short: Short @deprecated\n"): ("Added", "Query.short"),
    ("goes after 2027-06-30", "goes after 2027-12-31"): ("Added", "Query.older"),
    ("Error { message: String!", "Error { message: String! @deprecated"): ("Added", "Error.message"),
    ("input Key @oneOf {", "input Key {"): ("Added", "Key"),
}


def schema(old: str = "", new: str = "") -> GraphQLSchema:
    """Return the schema, with something written otherwise."""
    assert old in SCHEMA
    return build_schema(SCHEMA.replace(old, new, 1) if old else SCHEMA)


def objected(new: GraphQLSchema, changelog: str = "", *, today: date = TODAY) -> list[str]:
    return [*objections(changes(schema(), new), documented_in(changelog), schema(), today)]


@pytest.mark.parametrize(("change", "expected"), KINDS.items(), ids=lambda value: str(value[1] or value[0]))
def test_each_kind_of_change_has_its_effect_and_coordinate(change: tuple[str, str], expected: tuple[str, str]) -> None:
    (found,) = changes(schema(), schema(*change))
    assert (found.effect.value, found.coordinate) == expected


def test_nothing_is_told_of_what_is_the_same_and_of_descriptions() -> None:
    assert changes(schema(), schema()) == []
    assert changes(schema(), schema('"""A directive."""', '"""It shouts."""')) == []


def test_the_worst_comes_first() -> None:
    new = build_schema(SCHEMA.replace("OPEN DONE", "LATE DONE").replace("short:", "long:"))
    assert [(change.effect, change.coordinate) for change in changes(schema(), new)] == [
        (Effect.BREAKING, "Query.short"),
        (Effect.BREAKING, "Status.OPEN"),
        (Effect.CHECK, "Status.LATE"),
        (Effect.NONE, "Query.long"),
    ]


@pytest.mark.parametrize(
    ("change", "heading", "coordinate"),
    [
        (("customer: String!", "customer: String"), "Breaking", "Order.customer"),
        (("first: Int, ", "first: Int!, "), "Breaking", "Order.items(first:)"),
        (("= Order | NotFound", "= Order | NotFound | Short"), "Check", "Placed.Short"),
    ],
)
def test_what_may_break_a_client_must_be_told_where_it_looks(
    change: tuple[str, str], heading: str, coordinate: str
) -> None:
    new = schema(*change)
    (objection,) = objected(new)
    assert f"`### {heading}`" in objection
    assert f"`{coordinate}`" in objection
    other = {"Breaking": "Check", "Check": "Breaking"}[heading]
    for not_told in (
        f"### {other}\n\n- `{coordinate}`: look at it.\n",
        f"### {heading}\n\n- `{coordinate}`:\n",
        f"### {heading}\n\n- Look at `{coordinate}`.\n",
        f"### {heading}\n\n- `{coordinate}s`: look at it.\n",
        f"- `{coordinate}`: look at it.\n",
        f"### {heading}\n\n<!--\n- `{coordinate}`: look at it.\n-->\n",
        f"### {heading}\n\n```\n- `{coordinate}`: look at it.\n```\n",
        f"~~~md\n### {heading}\n\n- `{coordinate}`: look at it.\n~~~\n",
    ):
        assert objected(new, not_told) == [objection]
    item = f"### {heading}\n\n- `{coordinate}`: look at it.\n"
    assert objected(new, f"- Something.\n\n```\nan example\n```\n\n{item}") == []
    assert objected(new, f"{item}\n### {heading}\n\n- `Query`: look at it.\n") == []


def test_what_breaks_nothing_need_not_be_told() -> None:
    assert objected(schema("at: DateTime)", "at: DateTime, by: ID)")) == []


@pytest.mark.parametrize(
    ("change", "coordinate", "reason"),
    [
        (("  short: Short\n", ""), "Query.short", "did not deprecate it"),
        (("first: Int, ", ""), "Order.items(first:)", "did not deprecate it"),
        ((" city: String", ""), "Filter.city", "did not deprecate it"),
        (("OPEN DONE", "DONE"), "Status.OPEN", "did not deprecate it"),
        (("  older: Int", "  # "), "Query.older", "promised it until 2027-06-30"),
    ],
)
def test_nothing_goes_before_its_day_whatever_is_told(change: tuple[str, str], coordinate: str, reason: str) -> None:
    (objection,) = objected(schema(*change), f"### Breaking\n\n- `{coordinate}`: it is gone.\n")
    assert reason in objection


@pytest.mark.parametrize(
    ("change", "coordinate"),
    [
        (("  old: Int", "  # "), "Query.old"),
        (('DONE @deprecated(reason: "Nothing replaces it. Since 1.0.0; goes after 2027-06-29.")', ""), "Status.DONE"),
    ],
)
def test_what_was_deprecated_long_enough_may_go_if_that_is_told(change: tuple[str, str], coordinate: str) -> None:
    new = schema(*change)
    assert len(objected(new)) == 1
    assert objected(new, f"### Breaking\n\n- `{coordinate}`: it is gone.\n") == []


@pytest.mark.parametrize(
    "reason",
    [
        "No longer supported",
        "Use `orders` instead.",
        "Use `orders` instead. Since 1.0.0.",
        "Use `orders` instead. Since 1.0; goes after 2027-06-30.",
        "Use `orders` instead. Since 1.0.0; goes after June.",
        "Use `orders` instead. Since 1.0.0; goes after 2027-06-31.",
        "Because. Since 1.0.0; goes after 2027-06-30.",
    ],
)
@pytest.mark.parametrize(
    ("place", "coordinate"),
    [
        ("short: Short", "Query.short"),
        ("after: String", "Order.items(after:)"),
        ("city: String", "Filter.city"),
        ("OPEN", "Status.OPEN"),
    ],
)
def test_a_deprecation_says_what_to_use_and_until_when_it_stays(reason: str, place: str, coordinate: str) -> None:
    default = ' = ""' if place.startswith("after") else ""
    deprecated = schema(f"{place}{default}", f'{place}{default} @deprecated(reason: "{reason}")')
    (malformed,) = malformed_deprecations(deprecated)
    assert malformed.startswith(coordinate)
    assert reason in malformed


def test_a_deprecation_in_that_form_is_good() -> None:
    assert [*malformed_deprecations(schema())] == []


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("goes after 2027-06-30", "goes after 2027-06-29"), "Query.older goes after 2027-06-29, but"),
        (
            (
                "  short: Short",
                '  short: Short @deprecated(reason: "Nothing replaces it. Since 1.1.0; goes after DAY.")',
            ),
            "Query.short goes after 2027-06-30, which leaves clients no time.",
        ),
    ],
    ids=["shortened", "at once"],
)
def test_a_deprecation_gives_time_and_is_not_shortened(change: tuple[str, str], complaint: str) -> None:
    old, new = change
    (objection,) = short_notices(schema(), schema(old, new.replace("DAY", "2027-06-30")), TODAY)
    assert objection.startswith(complaint)


@pytest.mark.parametrize(
    "change",
    [
        ("goes after 2027-06-30", "goes after 2027-12-31"),
        (' @deprecated(reason: "Use `order` instead. Since 1.0.0; goes after 2027-06-30.")', ""),
        (
            "  short: Short",
            '  short: Short @deprecated(reason: "Nothing replaces it. Since 1.1.0; goes after 2027-07-01.")',
        ),
    ],
    ids=["prolonged", "taken back", "in time"],
)
def test_what_stays_as_long_as_promised_may_be_deprecated(change: tuple[str, str]) -> None:
    assert [*short_notices(schema(), schema(*change), TODAY)] == []
