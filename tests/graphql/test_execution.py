"""Whatever a schema holds, an operation is answered as graphql-core alone answers it, errors and order included."""

from decimal import Decimal
from enum import Enum
from typing import Any, cast

import pytest
import strawberry

from app.graphql.execution import Execution


@strawberry.enum
class Colour(Enum):
    RED = "RED"
    BLUE = "BLUE"


@strawberry.type
class Size:
    width: int
    height: int | None = None


@strawberry.interface
class Named:
    name: str


@strawberry.type
class Box(Named):
    weight: Decimal
    colour: Colour
    size: Size
    note: str | None = None
    lid: Size | None = None
    labels: list[str] = strawberry.field(default_factory=list)

    @strawberry.field
    async def contents(self) -> list["Box"]:
        return [BOXES["small"]] if self.name == "large" else []

    @strawberry.field
    def volume(self, times: int = 1) -> int:
        return self.size.width * times

    @strawberry.field
    def broken(self) -> str | None:
        raise ValueError("it does not open")


WRONG: Any = None
BOXES = {
    "small": Box(name="small", weight=Decimal("0.10"), colour=Colour.RED, size=Size(width=1)),
    "large": Box(
        name="large",
        weight=Decimal(7),
        colour=Colour.BLUE,
        size=Size(width=5, height=0),
        note="",
        lid=Size(width=5, height=1),
        labels=["heavy"],
    ),
    "without a name": Box(name=WRONG, weight=Decimal(1), colour=Colour.RED, size=Size(width=1)),
    "with a size that has none": Box(name="odd", weight=Decimal(1), colour=Colour.RED, size=Size(width=WRONG)),
    "of no colour": Box(name="grey", weight=Decimal(1), colour=WRONG, size=Size(width=2)),
}


@strawberry.type
class Query:
    @strawberry.field
    def box(self, name: str) -> Box | None:
        return BOXES[name]

    @strawberry.field
    def boxes(self) -> list[Box]:
        return [BOXES["small"], BOXES["large"]]

    @strawberry.field
    def with_a_wrong_one(self) -> list[Box] | None:
        return [BOXES["small"], BOXES["without a name"], BOXES["large"]]

    @strawberry.field
    def with_a_gap(self) -> list[Box] | None:
        return [BOXES["small"], WRONG]

    @strawberry.field
    def with_gaps(self) -> list[Box | None]:
        return [None, BOXES["small"], None]

    @strawberry.field
    def none_at_all(self) -> list[Box]:
        return []

    @strawberry.field
    async def of_a_tuple(self) -> list[Box]:
        return cast(list[Box], (BOXES["small"], BOXES["large"]))

    @strawberry.field
    def named(self) -> Named:
        return BOXES["large"]


SCHEMAS = [strawberry.Schema(Query), strawberry.Schema(Query, execution_context_class=Execution)]
SELECTIONS = [
    "name weight colour note",
    "volume note contents { name } __typename size { width height } labels name",
    "size { height } lid { height width } size { width }",
    "lid { __typename } again: lid { width } first: name second: name",
    "volume broken name",
    "...F contents { ...F once: volume }",
    "name @skip(if: true) colour @include(if: true) size { width @skip(if: true) height }",
]

FRAGMENTS = "fragment F on Box { colour size { ...S } volume(times: 3) } fragment S on Size { width }"


@pytest.mark.parametrize("selection", SELECTIONS)
@pytest.mark.parametrize("name", BOXES)
async def test_an_object(name: str, selection: str) -> None:
    await answer_alike(f'{{ box(name: "{name}") {{ {selection} }} }}')


@pytest.mark.parametrize("selection", SELECTIONS)
@pytest.mark.parametrize("name", ["boxes", "withAWrongOne", "withAGap", "withGaps", "noneAtAll", "ofATuple"])
async def test_a_list_of_objects(name: str, selection: str) -> None:
    await answer_alike(f"{{ {name} {{ {selection} }} }}")


@pytest.mark.parametrize(
    "query",
    [
        "{ named { name __typename ... on Box { size { width } contents { name } } } }",
        "{ __typename __schema { queryType { name fields { name type { name kind } } } } }",
        '{ __type(name: "Box") { name fields { name } } }',
    ],
)
async def test_interfaces_and_introspection(query: str) -> None:
    await answer_alike(query)


async def answer_alike(query: str) -> None:
    """Send the query to both schemas, which must answer alike."""
    query = f"{query} {FRAGMENTS}" if "...F" in query else query
    expected, found = [await schema.execute(query) for schema in SCHEMAS]

    assert all(error.path for error in expected.errors or ()), "the query itself is wrong"
    assert found.data == expected.data
    assert list(_keys(found.data)) == list(_keys(expected.data))
    assert [error.formatted for error in found.errors or ()] == [error.formatted for error in expected.errors or ()]


def _keys(value: Any) -> Any:
    """Yield the keys of all objects in their order, which equality does not compare."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield key
            yield from _keys(part)
    elif isinstance(value, list):
        for part in value:
            yield from _keys(part)
