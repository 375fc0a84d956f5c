"""Whatever document a client sends, with whatever variables, both paths answer alike."""

from random import Random
from typing import Any, NamedTuple

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.conftest import Fuzzed, Quiet
from tests.fuzz.contract import Caller, Field, fields
from tests.fuzz.mutations import mutated_document, mutated_json
from tests.fuzz.oracle import judge
from tests.fuzz.profile import RANDOMS, tries
from tests.fuzz.requests import Reply, request
from tests.graphql.compiled.operations import Generator, Samples

VIEWERS = ["superuser", "customer", "owner", "anonymous", "deleted user"]
QUERIES = fields("Query", "Store", "User")


class Asked(NamedTuple):
    """What is sent, and by whom."""

    body: bytes
    viewer: str = "anonymous"

    @property
    def reads(self) -> bool:
        """Whether nothing can be changed by it, so that two answers must be alike."""
        return b"mutation" not in self.body


def asked(document: str, variables: Any = None, name: str | None = None, viewer: str = "anonymous") -> Asked:
    return Asked(orjson.dumps({"query": document, "variables": variables, "operationName": name}), viewer)


def chain(number: int) -> str:
    """Return fragments that spread each other, one after the other."""
    links = " ".join(f"fragment F{index} on Query {{ ...F{index + 1} }}" for index in range(number))
    return f"{links} fragment F{number} on Query {{ __typename }}"


def within(opened: str, number: int, inner: str, closed: str) -> str:
    return opened * number + inner + closed * number


REGRESSIONS = {
    "a chain of fragments": asked("{ ...F0 } " + chain(230)),
    "a chain of fragments that is not used": asked("{ __typename } " + chain(230)),
    "a chain that ends in a circle": asked("{ ...F0 } " + chain(150) + " fragment F151 on Query { ...F0 }"),
    "fragments within fields": asked("{ ...F0 } " + within("{ ...", 150, "x", "}")),
    "inline fragments": asked(within("{ ...", 190, "{ __typename }", "}")),
    "fragments in fragments": asked(
        within("{ ...", 190, "{ ...F }", "}") + " fragment F on Query " + within("{ ...", 190, "{ __typename }", "}")
    ),
    "a number of too many digits": asked("{ products(first: " + "9" * 5_000 + ") { nodes { id } } }"),
    "a default of too many digits": asked(
        "query ($n: Int = -" + "9" * 5_000 + ") { products(first: $n) { totalCount } }"
    ),
    "ids of too many digits": asked("{ nodes(ids: [" + "9" * 5_000 + "]) { id } }"),
    "a deep literal": asked("{ products(filter: {price: {gte: " + "[" * 190 + "]" * 190 + "}}) { totalCount } }"),
    "deep variables": Asked(b'{"query":"{ __typename }","variables":{"x":' + b"[" * 900 + b"]" * 900 + b"}}"),
    "many unknown fields": asked(
        "query ($f: ProductFilter) { products(filter: $f) { totalCount } }",
        {"f": {f"{key}": 1 for key in range(9_000)}},
    ),
    "a long unknown field": asked(
        "query ($f: ProductFilter) { products(filter: $f) { totalCount } }", {"f": {"x" * 100_000: 1}}
    ),
    "deep input": Asked(
        b'{"query":"query ($f: ProductFilter) { products(filter: $f) { totalCount } }","variables":{"f":'
        + b'{"price":' * 900
        + b"1"
        + b"}" * 901
        + b"}"
    ),
}


async def send(fuzzed: Fuzzed, sent: Asked, quiet: Quiet) -> Reply:
    """Send an operation to the compiled path, and a query to the other, too; return what was answered."""
    replies = []
    for app in (fuzzed.resolver, fuzzed.compiled) if sent.reads else (fuzzed.compiled,):
        reply = await request(app, sent.body, headers=fuzzed.headers(sent.viewer))
        quiet(sent)
        judge(reply, sent)
        replies.append(reply)
    assert replies[0].body == replies[-1].body, sent
    return replies[-1]


@pytest.mark.parametrize("sent", REGRESSIONS.values(), ids=REGRESSIONS.keys())
async def test_what_was_once_too_much(fuzzed: Fuzzed, quiet: Quiet, sent: Asked) -> None:
    await send(fuzzed, sent, quiet)


def generated(random: Random, samples: Samples) -> tuple[str, dict[str, Any], str | None]:
    """Return a good operation of any kind."""
    if random.random() < 0.3:
        field = random.choice([*QUERIES, *fields("Mutation", "Subscription")])
        return (*Caller(random, samples).call(field), None)
    return Generator(random.randrange, samples).operation()


def broken(random: Random, samples: Samples) -> Asked:
    """Return an operation whose document, variables or name were changed."""
    document, variables, name = generated(random, samples)
    variables_json = orjson.dumps(variables).decode()
    choice = random.random()
    if choice < 0.7:
        document = mutated_document(random, document)
    elif choice < 0.9:
        variables_json = mutated_json(random, variables_json)
    else:
        name = random.choice(["", "A", "Asked", "Other", "\0", "x" * 10_000])
    body = f'{{"query":{_json(document)},"variables":{variables_json},"operationName":{_json(name)}}}'
    return Asked(body.encode("utf-8", "surrogatepass"), random.choice(VIEWERS))


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


@tries(450)
@given(random=RANDOMS)
async def test_any_document_is_answered_alike(fuzzed: Fuzzed, quiet: Quiet, random: Random) -> None:
    await send(fuzzed, broken(random, fuzzed.samples), quiet)


@tries(500)
@given(random=RANDOMS, field=st.sampled_from(QUERIES), viewer=st.sampled_from(VIEWERS))
async def test_any_argument_is_answered_alike(
    fuzzed: Fuzzed, quiet: Quiet, random: Random, field: Field, viewer: str
) -> None:
    document, variables = Caller(random, fuzzed.samples).call(field)
    await send(fuzzed, asked(document, variables, viewer=viewer), quiet)


async def test_what_is_asked_is_often_answered(fuzzed: Fuzzed, quiet: Quiet) -> None:
    """So that the tests above do not look at refusals alone."""
    answered = 0
    for seed in range(100):
        random = Random(seed)
        document, variables = Caller(random, fuzzed.samples).call(random.choice(QUERIES))
        reply = await send(fuzzed, asked(document, variables, viewer="superuser"), quiet)
        answered += reply.status == 200 and "errors" not in reply.json
    assert answered > 30
