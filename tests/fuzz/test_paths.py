"""Whatever is asked for that is not /graphql."""

from random import Random

import pytest
from hypothesis import given

from tests.fuzz.conftest import Fuzzed, Quiet
from tests.fuzz.mutations import mutated
from tests.fuzz.oracle import INSIDE
from tests.fuzz.profile import RANDOMS, tries
from tests.fuzz.requests import request
from tests.fuzz.test_bodies import CONTENTS, METHODS, NAMES

PATHS = [
    "/",
    "/livez",
    "/livez/",
    "/readyz",
    "/metrics",
    "/graphql/",
    "/graphql/assets/",
    "/graphql/assets/page@0/graphiql.js",
    "/docs",
]
PIECES = [
    *(
        "/",
        "//",
        "..",
        "../",
        ".",
        "\0",
        "\n",
        "\\",
        "%2e%2e/",
        "%00",
        "é",
        "漢",
        "😀",
        "\udcff",
        "?",
        "#",
        ";",
        ":",
        " ",
    ),
    *("graphql", "assets", "x" * 10_000, "/" * 500, "../" * 100 + "etc/passwd", "C:\\", "~", "{path}", "*"),
]


async def ask(
    fuzzed: Fuzzed, quiet: Quiet, path: str, method: str = "GET", query: bytes = b"", headers: object = ()
) -> None:
    told = (path[:500], method, query[:500], headers)
    reply = await request(
        fuzzed.compiled,
        method=method,
        path=path,
        query_string=query,
        headers=headers,  # type: ignore[arg-type]
    )
    quiet(told)
    assert reply.is_complete, told
    assert reply.status in {200, 307, 404, 405, 406, 503}, (reply, told)
    assert not INSIDE.search(reply.body[:10_000].decode(errors="replace")) or path.endswith(".js"), (reply, told)


@pytest.mark.parametrize("path", [*PATHS, "/graphql/assets/a\0b", "/graphql/assets/" + "x" * 9_000, "/\udcff", ""])
async def test_what_there_is_or_is_not(fuzzed: Fuzzed, quiet: Quiet, path: str) -> None:
    await ask(fuzzed, quiet, path)
    await ask(fuzzed, quiet, path, query=b"\xff")


@tries(300)
@given(random=RANDOMS)
async def test_any_path_is_answered(fuzzed: Fuzzed, quiet: Quiet, random: Random) -> None:
    path = "".join(mutated(random, random.choice(PATHS), PIECES))
    if path == "/graphql":
        return
    headers = [(random.choice(NAMES), random.choice(CONTENTS)) for _ in range(random.randrange(3))]
    method = random.choice(METHODS) if random.random() < 0.3 else "GET"
    await ask(fuzzed, quiet, path, method, random.choice(CONTENTS), headers)
