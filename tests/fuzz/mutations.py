"""Texts and bytes as they should not be."""

import re
from collections.abc import Callable, Sequence
from random import Random
from typing import TypeVar

T = TypeVar("T")

GRAPHQL = re.compile(r'"""(?:[^"\\]|\\.|"(?!""))*"""|"(?:[^"\\\n]|\\.)*"|\.\.\.|[A-Za-z_]\w*|-?\d[\d.eE+-]*|#[^\n]*|\S')
JSON = re.compile(r'"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|[a-z]+|\S')

# What JSON has, and what it has not.
VALUES = [
    *("null", "true", "false", "0", "-0", "1", "-1", "101", "2147483647", "2147483648", "-2147483649", "1.0", "1.5"),
    *("1e308", "1e400", "-1e-400", "9" * 30, "9" * 5_000, "0" * 50 + "1", "NaN", "Infinity", "undefined", "01", "+1"),
    *('""', '" "', '"\\u0000"', '"a\\u0000b"', '"\\ud800"', '"\\udfff\\ud800"', '"\\ud83d\\ude00"', '"\\x"', '"\x01"'),
    *('"\u202e\ufeff"', '"%s{0}${x}"', '"\'; --"', '"' + "x" * 5_000 + '"', '"' + "x" * 100_000 + '"', '"'),
    *("[]", "[[]]", "[null]", "{}", '{"":{}}', '{"a":1,"a":2}', '{"__proto__":{}}', "[1,", "]", "}", ":", ","),
    *("[" * 300 + "]" * 300, "[" * 900 + "]" * 900, "[" * 100_000, '{"a":' * 300 + "1" + "}" * 300),
]
# What documents are made of.
LEXEMES = [
    *(
        "{",
        "}",
        "(",
        ")",
        "[",
        "]",
        "[" * 150,
        "{" * 150,
        ":",
        "=",
        "!",
        "|",
        "&",
        "...",
        "@",
        "$",
        ",",
        "#",
        "\n",
        "\\",
    ),
    *("query", "mutation", "subscription", "fragment", "on", "null", "true", "type", "schema", "extend", "input"),
    *("__typename", "__schema", "__type", "id", "node", "nodes", "items", "products", "totalCount", "x", "_" * 50),
    *("first: 101", "last: 1", "first: -1", "ids: []", 'after: ""', "filter: {}", "orderBy: {field: PLACED_AT}"),
    *("@skip(if: true)", "@include(if: false)", "@include(if: $x)", "@include", "@defer", "@stream", "@deprecated"),
    *(
        "@oneOf",
        '@specifiedBy(url: "x")',
        "@skip(if: false) " * 30,
        "...F",
        "...Product",
        "... on Node",
        "... on Nobody",
    ),
    *("fragment F on Query { ...F }", "fragment F on Product { id ...G } fragment G on Product { ...F }", "$v0", "$x"),
    *("0", "-0", "1.5", "1e400", "1e", "9" * 30, "9" * 5_000, "00", "0x1", "1a", "2147483648", "ASC", "NAME"),
    *('""', '"\\u0000"', '"\\uD800"', '"\\u{110000}"', '"\\u{1F600}"', '"\\q"', '"', '"""', '"""\\""" x"""'),
    *('"""\n\t a\r\n  b\x00"""', '"' + "x" * 5_000 + '"', "\ufeff", "\u2028", "\x00", "\x7f", "é", "漢", "😀"),
    *("{ a: {b: [{c: $x}]} }", "[[[[1]]]]", "{__schema { types { name } }}", '__type(name: "Query") { name }'),
    *("query A { __typename } query B { __typename }", "subscription { __typename }", "x: ", "a: b: c"),
]


def tokens(pattern: re.Pattern[str], text: str) -> list[str]:
    return pattern.findall(text)


def mutated(random: Random, parts: Sequence[T], others: Sequence[T], times: int = 4) -> list[T]:
    """Return the parts after a few of them were left out, doubled, exchanged, replaced or joined by others."""
    result = list(parts)
    for _ in range(random.randint(1, times)):
        place, other = random.randrange(len(result) + 1), random.randrange(len(result) + 1)
        match random.randrange(6):
            case 0:
                del result[place : place + 1]
            case 1:
                result[place:place] = result[place : place + 1]
            case 2:
                low, high = sorted((place, other))
                result[low:high] = [*result[high - 1 : high], *result[low + 1 : high - 1], *result[low : low + 1]]
            case 3:
                result[place : place + 1] = [random.choice(others)]
            case 4:
                result.insert(place, random.choice(others))
            case _:
                low, high = sorted((place, other))
                del result[low : low + random.randint(0, high - low)]
    return result


def mutated_bytes(random: Random, text: bytes) -> bytes:
    """Return the text with a few of its bytes changed."""
    others = [*b'\x00\x01\x7f\x80\xc0\xed\xf5\xff"\\{}[]:, ', random.randrange(256)]
    return bytes(mutated(random, text, others))


def mutated_json(random: Random, text: str) -> str:
    """Return JSON that may be none any more."""
    return "".join(mutated(random, tokens(JSON, text), VALUES))


def mutated_document(random: Random, text: str) -> str:
    """Return a document with other tokens in it."""
    return " ".join(mutated(random, tokens(GRAPHQL, text), LEXEMES))


def split(random: Random, text: bytes) -> list[bytes]:
    """Return the text in chunks, of which some may be empty."""
    cuts = sorted(random.randrange(len(text) + 1) for _ in range(random.randrange(6)))
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def weighted(random: Random, usual: Callable[[], T], others: Sequence[Callable[[], T]], times: int = 3) -> T:
    """Return what is usual, and once in so many times one of the others."""
    return random.choice(others)() if random.randrange(times) == 0 else usual()
