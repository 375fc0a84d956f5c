"""What people read is plain English: phrases that used to be common here do not come back."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.settings import ROOT

# Each pattern, and what to write instead. Only phrases that ordinary English does not need: the rest is for reviewers.
PHRASES = {
    r"tell|tells|told|telling": "return, report, serialize, log, notify, say",
    r"(?<![`.])lanes?": "compiled path, resolver path",
    r"house|spine": "the codebase, a package, the GraphQL packages",
    r"(?:stand|stands|stood)(?! for| out)": "is, remains, takes effect",  # "and the others stand"
    r"what is (?:not )?so|be so": "the current state",
    r"may(?: be)?(?=[.;])": "the limit is …",  # "The operation costs 9 points; 5 it may."
    r"for ever": "forever, always",
    r"whoever|whosoever": "anyone who, a client that",
    r"else look": "otherwise, check",
    r"no good|not any more": "invalid, expired, no longer",
    r"mend(?:s|ed|ing)?": "fix",
    r"(?:as )?dear(?:er|est)?": "expensive",
    r"(?:give|gives|given|gave) back": "return, release",
    r"hangs? up|hung up": "disconnect",
    r"made to(?=[.;])": "killed, forced to …",
    # American spelling
    r"(?:catalogue|colour|behaviour|favour|honour|humour|labour|neighbour|rumour)\w*": "catalog, color …",
    r"(?:cent|lit|(?:centi|kilo|milli)?met)res?|grey|cosy|cheques?|licence|defence|programmes?": "center, gray, cozy …",
    r"(?:caramel|custom|final|general|initial|minim|normal|optim|organ|real|recogn|serial|summar|synchron)"
    r"is(?:e[drs]?|ing|ations?)": "initialize, normalization …",
    r"fulfil(?:s|ment|ments)?|(?:label|model|signal|travel)l(?:ed|ing)": "fulfill, labeled …",
}
PATTERNS = [(re.compile(rf"\b(?:{phrase})\b", re.IGNORECASE), instead) for phrase, instead in PHRASES.items()]
# Not the document's own prose: pairs that show what not to write, and what the code writes: responses and settings.
QUOTED = re.compile(
    r"^(?:\| where \| instead of \|.*?\n\n|\| variable \| default \|.*?\n\n|```(?:json|http|sse|websocket)\n.*?^```$)",
    re.MULTILINE | re.DOTALL,
)

PROSE = [
    *("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "schema.graphql", "docs", "examples", "Makefile", "config"),
    *("scripts", "benchmarks", "app", "tools"),
]
SUFFIXES = {".md", ".py", ".graphql", ".html", ".txt", ".js", ".ts", ".tsx", ".env", ".toml"}
NOT_OURS = {"node_modules", ".venv", "assets", "dist", "gql", "__generated__", "orders_api"}


def files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    for file in sorted(path.rglob("*")):
        if file.suffix in SUFFIXES and NOT_OURS.isdisjoint(file.relative_to(path).parts):
            yield file


def found(file: Path) -> Iterator[str]:
    text = QUOTED.sub(lambda quoted: "\n" * quoted[0].count("\n"), file.read_text(encoding="utf-8"))
    for number, line in enumerate(text.splitlines(), start=1):
        for pattern, instead in PATTERNS:
            for phrase in pattern.findall(line):
                yield f"{file.relative_to(ROOT)}:{number}: “{phrase}”: write {instead}"


@pytest.mark.parametrize("path", PROSE)
def test_nothing_reads_as_if_translated(path: str) -> None:
    assert [line for file in files(ROOT / path) for line in found(file)] == []


@pytest.mark.parametrize(
    ("phrase", "is_found"),
    [
        ("Every answer tells its cost.", True),
        ("The operation costs 9 points; 5 it may.", True),
        ("30 aliases may be.", True),
        ("The others stand.", True),
        ("ISO stands for a standard, and outstanding is one word.", False),
        ("A name may be null.", False),
        ("def test_a_store_tells_when(): ...", False),
        ("warehouse", False),
        ("A grey catalogue, cancelled", True),
        ("A gray catalog, cancelled: labelledby and parameters of programs", False),
    ],
)
def test_only_those_phrases_are_found(tmp_path: Path, phrase: str, is_found: bool) -> None:
    assert any(pattern.search(phrase) for pattern, _ in PATTERNS) == is_found
