"""Pages of documentation that are true: each request on them is sent as it is written, and answered as is written.

- A `graphql` block is an operation, sent with the last access token that the page was given. A `json` block after it
  that holds `variables` belongs to it, and the next one is its answer.
- An `http` block is a request, and the next one its response. An `sse` block has the events that follow in it.
- In a `websocket` block → is what the client sends, ← what it receives. A block that does not begin with
  `connection_init` goes on with the websocket of the one before.
- A `dotenv` block has settings of the server that its section is about.

`…` stands for what is different each time (see `Names`). The `extensions` of an answer and the headers of a response
are compared where they are written."""

import asyncio
import json
import re
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from http import HTTPStatus
from itertools import chain, repeat
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
from websockets.asyncio.client import ClientConnection, connect

from app.main import GRAPHQL_PATH, application, create_services
from app.settings import Settings
from tests.graphql.subscriptions.clients import PATIENCE, PROTOCOL, serving

_PARTS = re.compile(r"^(?:#{2,} [^\n]*|```(?P<language>\w*)\n(?P<text>.*?)^```)$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """What stands between fences, and in which line of the page."""

    language: str
    text: str
    line: int


class Names:
    """What a page cannot know beforehand, such as ids and tokens, by how it writes them: with `…`.

    The same name is always the same value. What comes before its first digit is as written; from there on letters and
    digits are an example: `Product_0190467c-…` is any product's id."""

    def __init__(self, known: Mapping[str, str] | None = None) -> None:
        self._values = dict(known or {})

    def filled(self, text: str) -> str:
        """Return what is sent where this is written."""
        for name in sorted(self._values, key=len, reverse=True):
            text = text.replace(name, self._values[name])
        assert "…" not in text, f"the page has not been told before: {text}"
        return text

    def expected(self, written: Any, actual: Any) -> Any:
        """Return what is expected where this is written, with the actual values where those have a name."""
        match written, actual:
            case dict(), dict():
                return {key: self.expected(value, actual.get(key)) for key, value in written.items()}
            case list(), list():
                return [*map(self.expected, written, chain(actual, repeat(None)))]
            case str(), str() | int() if "…" in written:
                self._learn(written, str(actual))
                return actual if self._values.get(written) == str(actual) else written
        return written

    def _learn(self, name: str, value: str) -> None:
        pattern = ".*".join(map(_example, name.split("…")))
        if re.fullmatch(pattern, value):
            self._values.setdefault(name, value)


def sections(file: Path) -> Iterator[list[Block]]:
    """Yield the blocks of each section of a page."""
    page = file.read_text(encoding="utf-8")
    blocks: list[Block] = []
    for part in _PARTS.finditer(page):
        if part["language"] is None:
            yield blocks
            blocks = []
        else:
            blocks.append(Block(part["language"], part["text"].rstrip("\n"), page.count("\n", 0, part.start()) + 1))
    yield blocks


async def check(file: Path, settings: Settings) -> list[Any]:
    """Do what the page says, and find what it says; return the answers to its operations."""
    async with AsyncExitStack() as opened:
        reading = _Reading(file, settings, Names(), opened)
        for blocks in sections(file):
            await reading.section(blocks)
        return reading.answers


class _Reading:
    """A page that is being read."""

    def __init__(self, file: Path, settings: Settings, names: Names, opened: AsyncExitStack) -> None:
        self.answers: list[Any] = []
        self._file = file
        self._settings = settings
        self._names = names
        self._opened = opened
        self._token = ""
        self._clients: dict[str, httpx2.AsyncClient] = {}
        self._client: httpx2.AsyncClient
        self._websocket: ClientConnection | None = None
        self._events: AsyncIterator[tuple[str, Any]] | None = None
        self._read = {
            "graphql": self._operation,
            "http": self._request,
            "json": self._nothing,
            "sse": self._more_events,
            "websocket": self._messages,
        }

    async def section(self, blocks: Sequence[Block]) -> None:
        """Read a section."""
        unread = deque(block for block in blocks if block.language in self._read)
        if unread:
            self._client = await self._client_with("\n".join(each.text for each in blocks if each.language == "dotenv"))
        while unread:
            block = unread.popleft()
            with self._telling_where(block):
                await self._read[block.language](block.text, unread)

    async def _client_with(self, variables: str) -> httpx2.AsyncClient:
        """Return a client of a server that has these settings beside those of all."""
        if variables not in self._clients:
            changed = {name.lower(): value for name, _, value in (line.partition("=") for line in variables.split())}
            services = create_services(Settings(**{**self._settings.model_dump(), **changed}))
            address = await self._opened.enter_async_context(serving(application(services)))
            if not variables:
                await services.subscriptions.events.heard()
            client = httpx2.AsyncClient(base_url=f"http://{address}", timeout=PATIENCE)
            self._clients[variables] = await self._opened.enter_async_context(client)
        return self._clients[variables]

    async def _operation(self, query: str, unread: deque[Block]) -> None:
        request: dict[str, Any] = {"query": self._names.filled(query)}
        written = _taken(unread, "json")
        if written is not None and _json(written).keys() == {"variables"}:
            request |= json.loads(self._names.filled(written))
            written = _taken(unread, "json")
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        response = await self._client.post(GRAPHQL_PATH, json=request, headers=headers)
        assert response.status_code == HTTPStatus.OK
        self._receive(response)
        if written is None:
            assert "errors" not in response.json()
        else:
            self._compare(_json(written), response.json())

    async def _nothing(self, text: str, unread: deque[Block]) -> None:
        raise AssertionError("nobody has asked for this")

    async def _request(self, text: str, unread: deque[Block]) -> None:
        request, headers, body = _message(self._names.filled(text))
        method, target = request.split(" ")
        written = _taken(unread, "http")
        assert written is not None, "there must be a response"
        status, expected_headers, expected_body = _message(written)
        given = self._client.build_request(method, target, headers=headers, content=body.encode() or None)
        response = await self._client.send(given, stream=True)
        self._opened.push_async_callback(response.aclose)
        assert status == f"HTTP/1.1 {response.status_code} {HTTPStatus(response.status_code).phrase}"
        actual_headers = {name: response.headers.get(name) for name in expected_headers}
        assert actual_headers == self._names.expected(expected_headers, actual_headers)
        if response.headers["Content-Type"].startswith("text/event-stream"):
            self._events = _events(response.aiter_lines())
            await self._more_events(expected_body, unread)
        else:
            await response.aread()
            self._receive(response)
            self._compare(_json(expected_body), response.json())

    async def _more_events(self, text: str, unread: deque[Block]) -> None:
        assert self._events is not None, "there must be a response before"
        async for name, data in _events(_lines(text)):
            async with asyncio.timeout(PATIENCE):
                actual_name, actual = await anext(self._events)
            assert actual_name == name
            self._compare(data, actual)

    async def _messages(self, text: str, unread: deque[Block]) -> None:
        for arrow, message in re.findall(r"^([→←]) (.*?)(?=^[→←] |\Z)", text, re.MULTILINE | re.DOTALL):
            if arrow == "→":
                sent = json.loads(self._names.filled(message))
                await (await self._websocket_for(sent)).send(json.dumps(sent))
            else:
                assert self._websocket is not None, "the client begins"
                async with asyncio.timeout(PATIENCE):
                    received = json.loads(await self._websocket.recv())
                written = json.loads(message)
                self._compare(written.get("payload"), received.pop("payload", None))
                written.pop("payload", None)
                assert received == written

    async def _websocket_for(self, message: Mapping[str, Any]) -> ClientConnection:
        if self._websocket is None or message["type"] == "connection_init":
            url = self._client.base_url.copy_with(scheme="ws", path=GRAPHQL_PATH)
            opened = connect(str(url), subprotocols=[PROTOCOL])
            self._websocket = await self._opened.enter_async_context(opened)
        return self._websocket

    def _receive(self, response: httpx2.Response) -> None:
        self.answers.append(response.json())
        if token := re.search(r'"accessToken":"([^"]+)"', response.text):
            self._token = token[1]

    def _compare(self, written: Any, actual: Any) -> None:
        if isinstance(written, dict) and isinstance(actual, dict) and "extensions" not in written:
            actual = {key: value for key, value in actual.items() if key != "extensions"}
        expected = self._names.expected(written, actual)
        assert actual == expected
        assert json.dumps(actual) == json.dumps(expected), "in this order"

    @contextmanager
    def _telling_where(self, block: Block) -> Iterator[None]:
        try:
            yield
        except Exception as failure:
            failure.add_note(f"{self._file}:{block.line}")
            raise


def _example(part: str) -> str:
    """Return the pattern of what part of a name may be."""
    begin, *example = re.split(r"(?=\d)", part, maxsplit=1)
    return re.escape(begin) + re.sub(r"\w", r"[\\w-]", re.escape("".join(example)))


def _taken(unread: deque[Block], language: str) -> str | None:
    """Return the text of the next block, and take it, if it is in this language."""
    return unread.popleft().text if unread and unread[0].language == language else None


def _json(text: str) -> Any:
    """Return what this JSON means; a number that is different each time is written as `60…`."""
    return json.loads(re.sub(r"(?<=: )(\d+…)", r'"\1"', text))


def _message(text: str) -> tuple[str, dict[str, str], str]:
    """Return the first line of a request or response, its headers and its body."""
    head, _, body = text.partition("\n\n")
    first, *headers = head.split("\n")
    return first, dict(re.split(r": *", header, maxsplit=1) for header in headers), body


async def _events(lines: AsyncIterator[str]) -> AsyncIterator[tuple[str, Any]]:
    """Yield the name and the data of each event."""
    name = ""
    async for line in lines:
        key, _, value = line.partition(":")
        if key == "event":
            name = value.strip()
        elif key == "data":
            yield name, json.loads(value) if value.strip() else None


async def _lines(text: str) -> AsyncIterator[str]:
    for line in text.split("\n"):
        yield line
