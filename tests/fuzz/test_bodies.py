"""Whatever bytes, headers and methods a client sends to /graphql."""

import gzip
from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

import orjson
import pytest
from hypothesis import given

from tests.fuzz.conftest import Fuzzed, Quiet
from tests.fuzz.mutations import VALUES, mutated, mutated_bytes, mutated_json, split, weighted
from tests.fuzz.oracle import judge
from tests.fuzz.profile import RANDOMS, tries
from tests.fuzz.requests import JSON, Headers, request

BODIES = [
    '{"query":"{ __typename }"}',
    '{"query":"query A($id: ID!) { product(id: $id) { name } }","variables":{"id":"Product_x"},"operationName":"A"}',
    '{"query":"{ products(first: 2) { nodes { id } } }","variables":null,"extensions":{"a":[1,2.5,{"b":null}]}}',
    '{"query":"mutation ($t: String!) { logOut(input: { refreshToken: $t }) { __typename } }","variables":{"t":"x"}}',
    '{"query":"subscription { productUpdated(productId: \\"x\\") { product { id } } }"}',
    '{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"00"}},"documentId":"sha256:00"}',
    '[{"query":"{ __typename }"}]',
]
DEEP = ["[" * 100_000, '{"query":' * 30_000, '{"variables":' + "[" * 900 + "]" * 900 + ',"query":"{ __typename }"}']
ENCODINGS = ["utf-8-sig", "utf-16", "utf-32", "latin-1", "utf-7"]
PLAIN = b'{"query":"{ __typename }"}'
NAMES = [
    *(b"content-type", b"accept", b"authorization", b"idempotency-key", b"x-explain", b"x-request-id", b"traceparent"),
    *(b"tracestate", b"content-length", b"transfer-encoding", b"content-encoding", b"origin", b"cookie", b"host"),
    *(b"x-forwarded-for", b"upgrade", b"connection", b"expect", b"range", b"accept-encoding", b""),
]
CONTENTS = [
    *(b"", b" ", b"\x00", b"\xff\xfe", b"\xc3\xa9", b"x" * 10_000, b",", b";", b"=", b"*/*", b"*/*;q=0", b"text/html"),
    *(b"application/json", b"APPLICATION/JSON ; Charset=UTF-8", b"application/json;charset=utf-16", b"text/plain"),
    *(b"application/graphql-response+json", b"text/event-stream", b"text/event-stream;q=2, a/b;q=\xb2", b"q=" * 900),
    *(b"multipart/form-data", b"multipart/mixed;boundary=x", b"application/x-www-form-urlencoded", b"," * 5_000),
    *(b"Bearer", b"Bearer ", b"bearer a.b.c", b"Basic eDp4", b"Bearer " + b"e" * 9_000, b"Bearer \xff.\xff.\xff"),
    *(
        b"Bearer eyJhbGciOiJub25lIn0.e30.",
        b"Bearer eyJhbGciOiJIUzI1NiJ9.bnVsbA.x",
        b"12345678",
        b"k" * 256,
        b"kkkkkkk\x7f",
    ),
    *(b"true", b"1", b"0", b"-1", b"+1", b"1_0", b"9" * 30, b"9" * 5_000, b"\xd9\xa3", b"chunked", b"gzip", b"null"),
    *(b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-00"),
]
METHODS = ["POST", "GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "QUERY", "BREW", "", "post"]


class Sent(NamedTuple):
    """A request."""

    body: tuple[bytes, ...] = (PLAIN,)
    headers: Headers = (JSON,)
    method: str = "POST"
    query_string: bytes = b""
    disconnects: bool = False


def body(random: Random) -> bytes:
    """Return a body that may be anything."""
    text = random.choice(BODIES)
    return weighted(
        random,
        lambda: mutated_json(random, text).encode("utf-8", "surrogatepass"),
        [
            lambda: random.randbytes(random.randrange(200)),
            lambda: mutated_bytes(random, text.encode()),
            lambda: text.encode(random.choice(ENCODINGS), "replace"),
            lambda: gzip.compress(text.encode()),
            lambda: random.choice([*DEEP, *VALUES]).encode(),
            lambda: (text + " " * random.choice([10, 300_000])).encode(),
            lambda: text[: random.randrange(len(text))].encode(),
        ],
        times=2,
    )


def of_body(random: Random) -> Sent:
    """Return a request that is usual, but for its body and the chunks that this comes in."""
    return Sent(tuple(split(random, body(random))), disconnects=random.random() < 0.2)


def of_headers(random: Random) -> Sent:
    """Return a request with a good body, and headers and a method that may be anything."""
    headers = [(random.choice(NAMES), random.choice(CONTENTS)) for _ in range(random.randrange(5))]
    if random.random() < 0.7:
        headers.insert(random.randrange(len(headers) + 1), JSON)
    text = random.choice(BODIES[:5]).encode()
    return Sent((text,), headers, random.choice(METHODS) if random.random() < 0.3 else "POST")


def of_url(random: Random) -> Sent:
    """Return a request by GET."""
    parameters: dict[str, Any] = {
        name: value if isinstance(value, str) else orjson.dumps(value)
        for name, value in orjson.loads(random.choice(BODIES[:6])).items()
    }
    for name in ("variables", "extensions", "operationName", "query", ""):
        if random.random() < 0.15:
            parameters[name] = random.choice([value for value in VALUES if len(value) < 10_000])
    query_string = urlencode(parameters, quote_via=quote, errors="surrogatepass").encode()
    pieces = [
        b"&",
        b"=",
        b";",
        b"%",
        b"%00",
        b"%ff",
        b"%zz",
        b"+",
        b"\xff",
        b"#",
        b"query",
        b"variables=",
        b"a=1&" * 1_000,
    ]
    if random.random() < 0.6:
        cut = [query_string[start : start + 5] for start in range(0, len(query_string), 5)]
        query_string = b"".join(mutated(random, cut, pieces))
    return Sent((b"",), [(b"accept", random.choice(CONTENTS))] if random.random() < 0.3 else [], "GET", query_string)


async def send(fuzzed: Fuzzed, sent: Sent, quiet: Quiet) -> None:
    """Send the request, and judge what comes of it."""
    told = str(sent)[:5_000]
    reply = await request(
        fuzzed.compiled,
        sent.body,
        method=sent.method,
        query_string=sent.query_string,
        headers=sent.headers,
        disconnects=sent.disconnects,
    )
    quiet(told)
    if not sent.disconnects or reply.status is not None:
        judge(reply, told)


@pytest.mark.parametrize(
    "sent",
    [
        Sent(headers=[JSON, (b"content-length", b"9" * 5_000)]),
        Sent(headers=[JSON, (b"content-length", "٣".encode())]),
        Sent(headers=[JSON, (b"authorization", b"Bearer \xff")]),
        Sent((b'{"query":"{ __typename }","operationName":"\\ud800"}',)),
        Sent((b"", PLAIN[:5], b"", PLAIN[5:], b"")),
        Sent((PLAIN[:5],), disconnects=True),
    ],
)
async def test_what_was_once_too_much(fuzzed: Fuzzed, quiet: Quiet, sent: Sent) -> None:
    await send(fuzzed, sent, quiet)


@pytest.mark.parametrize("made", [of_body, of_headers, of_url])
@tries(550)
@given(random=RANDOMS)
async def test_anything_is_answered(
    fuzzed: Fuzzed, quiet: Quiet, made: Callable[[Random], Sent], random: Random
) -> None:
    await send(fuzzed, made(random), quiet)
