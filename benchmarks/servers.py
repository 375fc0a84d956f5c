"""Starts and stops the contestants' servers."""

import asyncio
import os
import socket
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import IO

from app.settings import ROOT
from benchmarks import processes
from benchmarks.contestants import Contestant

SECRET_KEY = "a-secret-that-nothing-but-benchmarks-signs-with"
_START_SECONDS = 60
_STOP_SECONDS = 10


@dataclass(frozen=True)
class Server:
    """A server that listens on a port of 127.0.0.1."""

    contestant: Contestant
    port: int
    pid: int


@asynccontextmanager
async def served(contestant: Contestant, database_url: str, cores: set[int] | None = None) -> AsyncIterator[Server]:
    """Run a contestant's server, on these cores only if they are given."""
    port = _free_port()
    given = {
        "DATABASE_URL": database_url,
        "DATABASE_DIRECT_URL": "",
        "SECRET_KEY": SECRET_KEY,
        "HOST": "127.0.0.1",
        "PORT": str(port),
    }
    with tempfile.TemporaryFile() as log:
        process = await asyncio.create_subprocess_exec(
            *contestant.command, cwd=ROOT, env={**os.environ, **given, **contestant.environment}, stdout=log, stderr=log
        )
        try:
            if cores:
                processes.pin(process.pid, cores)
            await _wait_until_listening(contestant.name, port, process, log)
            yield Server(contestant, port, process.pid)
        finally:
            await _stop(process)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _wait_until_listening(name: str, port: int, process: asyncio.subprocess.Process, log: IO[bytes]) -> None:
    deadline = asyncio.get_running_loop().time() + _START_SECONDS
    while asyncio.get_running_loop().time() < deadline and process.returncode is None:
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            await writer.wait_closed()
            return
        await asyncio.sleep(0.05)
    log.seek(0)
    raise RuntimeError(f"{name} does not listen:\n{log.read().decode(errors='replace')}")


async def _stop(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), _STOP_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()
