"""Waiting for a database that is still coming up."""

import asyncio
from pathlib import Path

import pytest
from asyncpg import InvalidCatalogNameError
from sqlalchemy import make_url

from app.db.startup import wait_for_database


async def test_a_database_that_answers_is_not_waited_for(database_url: str) -> None:
    said: list[str] = []
    await wait_for_database(database_url, 5, said.append)
    assert said == []


async def test_the_start_waits_until_the_database_is_there_and_says_for_what(server_url: str, tmp_path: Path) -> None:
    sockets = make_url(server_url).query.get("host")
    if not isinstance(sockets, str):
        pytest.skip("the server of DATABASE_URL has no local socket to hide")
    later = tmp_path / "sockets"
    said: list[str] = []
    url = make_url(server_url).update_query_dict({"host": str(later)}).render_as_string()

    announced = asyncio.Event()

    def announce(line: str) -> None:
        said.append(line)
        announced.set()

    waiting = asyncio.ensure_future(wait_for_database(url, 20, announce))
    await announced.wait()
    assert not waiting.done()
    later.symlink_to(sockets)
    await waiting

    (line,) = said
    assert "waiting" in line
    assert "20 s" in line


async def test_the_wait_ends_with_the_last_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        await wait_for_database(f"postgresql+asyncpg://postgres@/db?host={tmp_path}", 0.3, lambda _: None)


async def test_a_database_that_will_never_let_us_in_is_not_waited_for(server_url: str) -> None:
    said: list[str] = []
    missing = make_url(server_url).set(database="no_such_database").render_as_string(hide_password=False)
    with pytest.raises(InvalidCatalogNameError, match="no_such_database"):
        await wait_for_database(missing, 20, said.append)
    assert said == []
