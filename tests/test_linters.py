"""What others' tools say about the schema and the documents: graphql-eslint and GraphQL Inspector, from npm."""

import json
import os
import re
import subprocess
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import pytest

from app.settings import ROOT
from tests.documented import Block, sections
from tests.node import node_package, require_node

LINTERS = Path(__file__).parent / "linters"
SDL = (ROOT / "schema.graphql").read_text()
EXAMPLES = ("apollo", "python", "relay", "storefront", "typescript")
CHANGELOG = ROOT / "CHANGELOG.md"
PAGES = (
    ROOT / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "examples" / "README.md",
    *sorted((ROOT / "examples").glob("[!n]*/README.md")),
)
INVALID = "GRAPHQL_VALIDATION_FAILED"


class Source(NamedTuple):
    """A document, or code that contains some, with the file that it is in."""

    name: str
    text: str
    is_invalid: bool = False
    """Whether the page says that it is."""


def linted(folder: Path) -> Sequence[Mapping[str, Any]]:
    """Return what graphql-eslint says about `schema.graphql` in a folder."""
    packages = node_package("eslint", LINTERS).parent
    config = ("--no-config-lookup", "--config", LINTERS / "eslint.config.cjs", "--format", "json")
    eslint = packages / "eslint" / "bin" / "eslint.js"
    (file,) = json.loads(run([eslint, *config, "schema.graphql"], folder, packages))
    return list(file["messages"])


def validated(clients: Mapping[str, Sequence[Source]], sdl: str = SDL) -> Mapping[str, Mapping[str, Any]]:
    """Return what GraphQL Inspector says about documents, by client: the number of definitions, and what is wrong."""
    packages = node_package("@graphql-inspector", LINTERS).parent
    given = [
        {"name": client, "sources": [{"name": source.name, "text": source.text} for source in sources]}
        for client, sources in clients.items()
    ]
    told = run([LINTERS / "documents.cjs"], ROOT, packages, json.dumps({"schema": sdl, "clients": given}))
    return {each["client"]: each for each in json.loads(told)}


def run(script: Iterable[str | Path], folder: Path, packages: Path, given: str = "") -> str:
    require_node()
    environment = {**os.environ, "NODE_PATH": str(packages)}
    done = subprocess.run(
        ["node", *script], cwd=folder, env=environment, input=given, capture_output=True, text=True, check=False
    )
    assert done.stdout, done.stderr
    return done.stdout


def name_of(file: Path) -> str:
    return str(file.relative_to(ROOT))


def of_example(name: str) -> list[Source]:
    """Return the files of an example that may contain documents."""
    folder = ROOT / "examples" / name
    files = [*folder.glob("*.graphql"), *folder.glob("src/**/*.ts"), *folder.glob("src/**/*.tsx")]
    ours = [file for file in files if not {"gql", "__generated__"} & {*file.parts}]
    return [Source(name_of(file), file.read_text(encoding="utf-8")) for file in sorted(ours)]


def of_page(file: Path) -> Iterator[Source]:
    """Yield the documents of a page: those of its `graphql` blocks, and those within requests and messages."""
    for blocks in sections(file):
        unread = deque(blocks)
        while unread:
            block = unread.popleft()
            answer = next((each.text for each in unread if not documents_in(each)), "")
            for document in documents_in(block):
                yield Source(f"{name_of(file)}:{block.line}", document, is_invalid=INVALID in answer)


def documents_in(block: Block) -> list[str]:
    if block.language == "graphql":
        return [block.text]
    if block.language not in ("http", "websocket"):
        return []
    sent = [json.loads(text) for text in re.findall(r'"query": ("(?:[^"\\]|\\.)*")', block.text)]
    targets = re.findall(r"^GET (\S.*)$", block.text, re.MULTILINE)
    return sent + [query for target in targets for query in parse_qs(urlsplit(target).query).get("query", ())]


def of_the_app() -> Iterator[Source]:
    """Yield the documents of the front page, and those that GraphiQL opens with."""
    web = ROOT / "app" / "web"
    for file in sorted((web / "front_page" / "queries").glob("*.graphql")):
        yield Source(name_of(file), file.read_text(encoding="utf-8"))
    script = web / "graphiql" / "graphiql.js"
    for document in re.findall(r"= `(# .*?)`;", script.read_text(encoding="utf-8"), re.DOTALL):
        yield Source(name_of(script), document)


def test_the_linter_finds_nothing_in_the_schema() -> None:
    assert linted(ROOT) == []


BAD_SCHEMA = '''
type Query { getThings(first: Int): ThingConnection! }
"""Something."""
type Thing { Name: String }
"""A page of things."""
type ThingConnection { nodes: [Thing] }
"""Changes."""
type Mutation { add(id: ID!): Boolean }
'''


def test_the_linter_finds_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "schema.graphql").write_text(BAD_SCHEMA)

    rules = {message["ruleId"].removeprefix("@graphql-eslint/") for message in linted(tmp_path)}

    assert rules == {
        "input-name",
        "naming-convention",
        "no-scalar-result-type-on-mutation",
        "relay-arguments",
        "relay-connection-types",
        "relay-page-info",
        "require-description",
        "require-nullable-result-in-root",
        "strict-id-in-types",
    }


def test_every_document_matches_the_schema() -> None:
    clients = {f"examples/{name}": of_example(name) for name in EXAMPLES}
    clients |= {"app": [*of_the_app()], "pages": [source for file in PAGES for source in of_page(file)]}

    found = validated(clients)

    told = {problem["source"]: problem["messages"] for each in found.values() for problem in each["problems"]}
    wrong_on_purpose = {source.name for source in clients["pages"] if source.is_invalid}
    assert wrong_on_purpose
    assert {name: messages for name, messages in told.items() if name not in wrong_on_purpose} == {}
    assert wrong_on_purpose <= {*told}
    assert {name for name, each in found.items() if each["definitions"] < 5} == set()


def test_every_example_is_among_them() -> None:
    folders = {file.parent.name for file in (ROOT / "examples").glob("*/package.json")} | {"python"}
    assert folders == {*EXAMPLES}


def test_the_guide_shows_documents_of_both_versions() -> None:
    blocks = [block for section in sections(CHANGELOG) for block in section if block.language == "graphql"]
    befores, afters = blocks[::2], blocks[1::2]
    released = ROOT / "releases" / "2.0.0.graphql"
    after = released.read_text() if released.exists() else SDL

    for texts, sdl in ((befores, (ROOT / "releases" / "1.0.0.graphql").read_text()), (afters, after)):
        assert texts
        sources = [Source(f"{CHANGELOG.name}:{block.line}", block.text) for block in texts]
        assert validated({"guide": sources}, sdl)["guide"]["problems"] == []


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("{ products { nodes { prize } } }", 'Cannot query field "prize" on type "Product".'),
        ("query ($n: String) { products(first: $n) { totalCount } }", 'Variable "$n" of type "String" used'),
        ("{ old }", "The field 'Query.old' is deprecated."),
    ],
)
@pytest.mark.parametrize("quoted", ["{}", "const Query = graphql(`{}`);", "const Query = gql`{}`;"])
def test_a_document_that_does_not_match_is_found(document: str, message: str, quoted: str) -> None:
    sdl = f'{SDL}\nextend type Query {{ "Something." old: Int @deprecated(reason: "Use `new`.") }}'
    name = "mine.graphql" if quoted == "{}" else "mine.ts"

    found = validated({"mine": [Source(name, quoted.replace("{}", document))]}, sdl)["mine"]

    (problem,) = found["problems"]
    assert (found["definitions"], problem["source"]) == (1, name)
    assert message in " ".join(problem["messages"])


RELAY = """
const Page = graphql`
  fragment Page on Query @argumentDefinitions(count: { type: "Int", defaultValue: 2 }) {
    products(first: $count) @connection(key: "Page_products") { edges { node { name } } }
  }
`;
const Query = graphql`query MyQuery { ...Page @arguments(count: 3) }`;
"""


@pytest.mark.parametrize(("old", "new"), [('"Int"', '"String"'), ("count: 3", 'count: "3"'), ("first:", "firsts:")])
def test_the_parameters_of_relays_fragments_have_their_types(old: str, new: str) -> None:
    assert validated({"relay": [Source("relay.ts", RELAY)]})["relay"]["problems"] == []

    assert old in RELAY
    assert validated({"relay": [Source("relay.ts", RELAY.replace(old, new))]})["relay"]["problems"] != []
