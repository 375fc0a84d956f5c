"""Whatever a schema holds, an operation is answered as graphql-core alone answers it, errors and order included."""

import asyncio
from decimal import Decimal
from enum import Enum
from types import SimpleNamespace
from typing import Any, cast

import pytest
import strawberry

from app.graphql.operations.execution import Execution
from app.graphql.relations.fields import Load, loaded
from app.graphql.relations.meaning import Scalar

NO_MEANING = Scalar(lambda columns: columns.none)


def by(name: str) -> Load:
    """Return what asks this loader of the context."""
    return lambda loaders, box: getattr(loaders, name)(box)


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

    beside: "Box | None" = loaded(by("beside"), "The next one on the shelf.", NO_MEANING)
    below: "Box" = loaded(by("below"), "The one that it stands on.", NO_MEANING)
    within: list["Box"] = loaded(by("within"), "What is in it.", NO_MEANING)
    inner: "Box | None" = None

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


class Loaders:
    """Answers as dataloaders do: later, with what there is or with an error."""

    def beside(self, box: Box) -> Any:
        return None if box.name == "odd" else self._answer({"small": "large"}.get(box.name))

    def below(self, box: Box) -> Any:
        return self._answer({"small": "large", "large": "grey"}.get(box.name))

    def within(self, box: Box) -> Any:
        names = {"large": ["small", "large", "small"], "small": []}.get(box.name)
        return self._answer(names, lambda: [BOXES[name] for name in names or ()])

    def _answer(self, found: Any, make: Any = None) -> asyncio.Future[Any]:
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        if found is None:
            loop.call_soon(future.set_result, None)
        elif found == "grey":
            loop.call_soon(future.set_exception, ValueError("it cannot be reached"))
        else:
            loop.call_soon(future.set_result, make() if make else BOXES[found])
        return future


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


BOXES["large"].inner = BOXES["small"]
BOXES["small"].inner = Box(name="inner", weight=Decimal(2), colour=Colour.RED, size=Size(width=3))
SCHEMAS = [strawberry.Schema(Query), strawberry.Schema(Query, execution_context_class=Execution)]
SELECTIONS = [
    "name weight colour note",
    "volume note contents { name } __typename size { width height } labels name",
    "size { height } lid { height width } size { width }",
    "lid { __typename } again: lid { width } first: name second: name",
    "volume broken name",
    "...F contents { ...F once: volume }",
    "name beside { name weight } inner { size { width } }",
    "beside { name beside { name } } beside { weight }",
    "below { name } name",
    "name beside { below { name } }",
    "within { name within { name beside { name } } } note",
    "within { name contents { name } } beside { volume }",
    "inner { beside { name } } again: beside { inner { name inner { name } } }",
    "inner { inner { below { name } } } name",
    "within { size { width @skip(if: true) } beside { name @skip(if: true) } }",
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


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("{ boxes { name size { width } lid { height } } }", 1),
        ("{ boxes { name beside { name within { beside { name } } } inner { beside { weight } } } }", 1),
        ("{ boxes { name volume } }", 3),
        ("{ withAWrongOne { beside { name } } }", 1),
    ],
)
async def test_what_is_loaded_is_answered_for_all_objects_at_once(
    monkeypatch: pytest.MonkeyPatch, query: str, fields: int
) -> None:
    executed: list[str] = []
    execute_field = Execution.execute_field

    def noted(self: Execution, parent_type: Any, source: Any, details: Any, *others: Any) -> Any:
        executed.append(details[0].node.name.value)
        return execute_field(self, parent_type, source, details, *others)

    monkeypatch.setattr(Execution, "execute_field", noted)

    result = await SCHEMAS[1].execute(query, context_value=SimpleNamespace(loaders=Loaders()))

    assert (result.errors, len(executed)) == (None, fields)


async def answer_alike(query: str) -> None:
    """Send the query to both schemas, which must answer alike."""
    query = f"{query} {FRAGMENTS}" if "...F" in query else query
    expected, found = [
        await schema.execute(query, context_value=SimpleNamespace(loaders=Loaders())) for schema in SCHEMAS
    ]

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
