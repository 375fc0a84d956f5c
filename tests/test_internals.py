"""Undocumented parts of dependencies are where we use them; an upgrade that moves one fails here, by name."""

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import QueuePool
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
from uvicorn.supervisors.multiprocess import Process

from app.db.asyncpg_internals import socket_of
from app.db.engine import driver_of
from app.db.sqlalchemy_internals import connection_over, in_greenlet, put_back, take_idle
from app.process.uvicorn_internals import HttpToolsProtocol, Multiprocess, WebSocketsSansIOProtocol
from app.settings import ROOT
from tests.process.test_protocol import answer

CONFIG = uvicorn.Config(answer, log_config=None, workers=2)
# The methods that subclasses override or call.
EXTENDED: dict[type, tuple[str, ...]] = {
    HttpToolsProtocol: (
        "connection_made",
        "connection_lost",
        "data_received",
        "on_message_begin",
        "on_headers_complete",
        "on_message_complete",
        "send_400_response",
        "pause_writing",
        "resume_writing",
        "_should_upgrade",
    ),
    WebSocketsSansIOProtocol: (
        "connection_made",
        "connection_lost",
        "pause_writing",
        "resume_writing",
        "handle_ping",
        "start_keepalive",
    ),
    Multiprocess: ("run", "terminate_all", "join_all"),
}
CASES = [(base, name) for base, names in EXTENDED.items() for name in names]


@pytest.mark.parametrize(("base", "name"), CASES, ids=[f"{base.__name__}.{name}" for base, name in CASES])
def test_uvicorn_has_the_methods_we_extend(base: type, name: str) -> None:
    assert inspect.isfunction(getattr(base, name, None)), f"uvicorn moved {base.__name__}.{name}"


def test_a_connection_of_uvicorn_has_the_attributes_we_use() -> None:
    protocol = HttpToolsProtocol(CONFIG, uvicorn.Server(CONFIG).server_state, {}, object())  # type: ignore[arg-type]
    for name in ("loop", "transport", "parser", "client", "cycle", "scope", "app_state", "timeout_keep_alive_task"):
        assert hasattr(protocol, name), f"uvicorn moved HttpToolsProtocol.{name}"
    websocket = WebSocketsSansIOProtocol(CONFIG, uvicorn.Server(CONFIG).server_state, {}, object())  # type: ignore[arg-type]
    for name in ("app_state", "conn", "queue", "writable"):
        assert hasattr(websocket, name), f"uvicorn moved WebSocketsSansIOProtocol.{name}"


def test_uvicorn_uses_no_more_of_its_queue_than_ours_has() -> None:
    source = inspect.getsource(inspect.getmodule(WebSocketsSansIOProtocol))  # type: ignore[arg-type]  # it has one
    assert set(re.findall(r"self\.queue\.(\w+)", source)) == {"put_nowait", "get", "empty"}


def test_a_response_of_uvicorn_is_written_to_the_transport_that_we_replace() -> None:
    source = inspect.getsource(RequestResponseCycle.send)
    assert source.count("self.transport.write(") == 3, "uvicorn writes responses elsewhere"


def test_the_supervisor_of_uvicorn_has_the_attributes_we_use() -> None:
    source = inspect.getsource(Multiprocess)
    for name in ("config", "sockets", "processes"):
        assert f"self.{name} = " in source or f"self.{name}: " in source, f"uvicorn moved Multiprocess.{name}"
    run = inspect.getsource(Multiprocess.run)
    assert run.index("self.terminate_all()") < run.index("self.join_all()"), "uvicorn moved the end of a supervisor"
    for name in ("kill", "join", "exitcode"):
        assert hasattr(Process, name), f"uvicorn moved Process.{name}"
    assert "self.process = " in inspect.getsource(Process), "uvicorn moved Process.process"


async def test_asyncpg_has_the_socket_of_a_connection(engine: AsyncEngine) -> None:
    connection = await engine.raw_connection()
    try:
        assert hasattr(driver_of(connection), "_transport"), "asyncpg moved Connection._transport"
        assert socket_of(driver_of(connection)).fileno() > 0
    finally:
        connection.close()


async def test_sqlalchemy_wraps_a_connection_of_the_pool(engine: AsyncEngine) -> None:
    assert not in_greenlet()
    connection = connection_over(engine, await engine.raw_connection())
    try:
        assert await connection.run_sync(lambda _: in_greenlet()), "SQLAlchemy moved in_greenlet"
        raw = await connection.get_raw_connection()
        assert raw.driver_connection is not None, "SQLAlchemy moved driver_connection"
    finally:
        await connection.close()


async def test_sqlalchemy_lets_a_connection_be_taken_from_its_pool(database_url: str) -> None:
    engine = create_async_engine(database_url)
    pool = engine.pool
    assert isinstance(pool, QueuePool)
    assert take_idle(pool) is None
    async with engine.connect():
        pass
    entry = take_idle(pool)
    assert entry is not None
    assert (pool.checkedout(), pool.checkedin(), take_idle(pool)) == (1, 0, None)
    assert await driver_of(entry).fetchval("SELECT 1") == 1
    put_back(pool, entry)
    assert (pool.checkedout(), pool.checkedin()) == (0, 1)
    await engine.dispose()


def private_names(path: Path) -> Iterator[str]:
    """Yield each attribute of something else than `self` and `cls` whose name begins with an underscore."""
    for node in ast.walk(ast.parse(path.read_text())):
        is_foreign = isinstance(node, ast.Attribute) and ast.unparse(node.value) not in ("self", "cls")
        if is_foreign and re.match(r"_[a-z]", (name := _attribute(node))) and name not in DOCUMENTED:
            yield f"{path.relative_to(ROOT)}: {name}"


def _attribute(node: Any) -> str:
    return str(node.attr)


# A namedtuple's, a row's of SQLAlchemy, and the one way to leave a forked process.
DOCUMENTED = {"_asdict", "_fields", "_make", "_mapping", "_replace", "_exit"}


def test_nothing_else_uses_what_is_private_to_a_dependency() -> None:
    packages = [path for path in (ROOT / "app").iterdir() if path.is_dir() and path.name != "graphql"]
    paths = [path for package in (*packages, ROOT / "tools") for path in package.rglob("*.py")]
    found = [name for path in paths if not path.stem.endswith("_internals") for name in private_names(path)]
    assert found == []
