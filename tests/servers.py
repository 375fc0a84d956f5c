"""Servers for tests: `python -m app serve` as a process of its own."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx2

from app.settings import ROOT
from tests.databases import environment_of


@contextmanager
def served(*arguments: str, port: int | None = None, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Serve on this port or a free one; yield the process and the URL once it answers."""
    with started(
        [sys.executable, "-m", "app", "serve", "--end-with-parent", *arguments], port, cwd=ROOT, **environment
    ) as server:
        yield server


@contextmanager
def started(
    command: Sequence[str], port: int | None = None, *, cwd: Path = ROOT, **environment: str
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run a command that serves on this port or a free one; yield the process and the URL once it answers."""
    port = port or free_port()
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env={"PATH": os.environ["PATH"], **_secret(), "PORT": str(port), **_direct(environment), **environment},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_until_alive(url, process)
        yield process, url
    finally:
        process.kill()
        process.communicate()


def _secret() -> dict[str, str]:
    """Return the secret that a database on another machine requires, if it is set."""
    return {name: os.environ[name] for name in ("SECRET_KEY",) if name in os.environ}


def _direct(environment: Mapping[str, str]) -> dict[str, str]:
    """Return where the database is past the pooler, if the tests use one."""
    return environment_of(environment["DATABASE_URL"]) if "DATABASE_URL" in environment else {}


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_alive(url: str, process: subprocess.Popen[str]) -> None:
    for _ in range(300):
        assert process.poll() is None, process.communicate()[1]
        try:
            httpx2.get(f"{url}/livez").raise_for_status()
        except httpx2.TransportError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError("the server does not answer")
