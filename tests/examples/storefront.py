"""The storefront and its API, as `make storefront` beside `make run` serves them."""

import fcntl
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from tempfile import TemporaryFile
from typing import IO, NamedTuple

import httpx2
import pytest

from app.settings import ROOT
from tests.servers import free_port, served

EXAMPLES = ROOT / "examples"
STOREFRONT = EXAMPLES / "storefront"
PACKAGES = EXAMPLES / "node_modules"


def require_packages() -> None:
    """Skip the test where what the storefront is made of is not installed."""
    if shutil.which("npm") is None:
        pytest.skip("no npm on the PATH")
    if not (PACKAGES / "vite").exists():
        pytest.skip(f"the npm packages are not installed: npm install --prefix {EXAMPLES.relative_to(ROOT)}")


class Shop(NamedTuple):
    """Where the storefront is served, and its API."""

    url: str
    api: str

    def wait_for_subscribers(self, number: int) -> None:
        """Wait until there are so many: who has just subscribed is told of nothing that was before."""
        for _ in range(300):
            if f"orders_api_subscribers {number}.0\n" in httpx2.get(f"{self.api}/metrics").text:
                return
            time.sleep(0.05)
        raise AssertionError(f"there never were {number} subscribers")


def compiled() -> subprocess.CompletedProcess[str]:
    """Check the types of the storefront, which must have been served before: that generates some of them."""
    return subprocess.run(["npm", "exec", "tsc"], cwd=STOREFRONT, env=_environment(), capture_output=True, text=True)


@contextmanager
def demo_shop(database_url: str) -> Iterator[Shop]:
    """Fill the empty database with the demo shop, and serve it and the storefront."""
    serving = served("--migrate", "--demo", DATABASE_URL=database_url, LOG_LEVEL="warning")
    with serving as (_, api), developed(api) as (_, url):
        yield Shop(url, api)


@contextmanager
def developed(api: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Serve the storefront of this API: npm, and where its server listens."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with TemporaryFile("w+") as output, (PACKAGES / ".storefront.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # first of all it generates files, which others may be about to read
        process = subprocess.Popen(
            ["npm", "run", "dev", "--", "--port", str(port), "--strictPort"],
            cwd=STOREFRONT,
            env=_environment(ORDERS_API=api),
            stdout=output,
            stderr=output,
            start_new_session=True,  # so that all that npm starts ends with it
        )
        try:
            _wait_until_answers(url, process, output)
            fcntl.flock(lock, fcntl.LOCK_UN)
            yield process, url
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _environment(**variables: str) -> dict[str, str]:
    return {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | variables


def _wait_until_answers(url: str, process: subprocess.Popen[bytes], output: IO[str]) -> None:
    for _ in range(600):
        if process.poll() is not None:
            break
        try:
            httpx2.get(url).raise_for_status()
        except httpx2.TransportError:
            time.sleep(0.1)
        else:
            return
    output.seek(0)
    raise AssertionError(f"the storefront does not answer: {output.read()}")
