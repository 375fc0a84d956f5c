"""A PgBouncer in front of a Postgres server, for tests and benchmarks."""

import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import URL, make_url

from app.settings import ROOT
from tools.postgres import ROOTS_DIRECTORY
from tools.postgres_keeper import server_account

UNPACKED = (ROOTS_DIRECTORY if server_account() else ROOT / ".data") / "pgbouncer" / "pgbouncer"
"""Where CI has `scripts/unpack_pgbouncer.sh` put one. That of root runs as another account, which may not read the
project."""
TRACKS = (1, 21)
"""The first version that tracks prepared statements."""
_PATIENCE_SECONDS = 10.0


class PgBouncer(NamedTuple):
    """An installed PgBouncer."""

    program: str
    version: tuple[int, ...]


@cache
def installed() -> list[PgBouncer]:
    """Return the PgBouncers of this machine, the newest first."""
    candidates = filter(None, (shutil.which(name) for name in ("pgbouncer", "/usr/sbin/pgbouncer", str(UNPACKED))))
    found = {PgBouncer(program, _version_of(program)) for program in candidates}
    return sorted(found, key=lambda each: each.version, reverse=True)


def tracking() -> PgBouncer | None:
    """Return an installed PgBouncer that can track prepared statements."""
    return next((each for each in installed() if each.version >= TRACKS), None)


def _version_of(program: str) -> tuple[int, ...]:
    output = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    return tuple(int(part) for part in re.findall(r"\d+", output)[:2])


@contextmanager
def pooled(server_url: str, pgbouncer: PgBouncer, port: int | None = None, **options: object) -> Iterator[str]:
    """Run a PgBouncer in front of a server, on this or a free port; yield the URL of the same database through it."""
    url, port = make_url(server_url), port or _free_port()
    with tempfile.TemporaryDirectory() as folder:
        configuration = Path(folder, "pgbouncer.ini")
        configuration.write_text(_configuration(url, port, options))
        configuration.parent.chmod(0o755)  # root's PgBouncer runs as another account
        account = server_account()
        drop: dict[str, Any] = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if account else {}
        with Path(folder, "log").open("wb") as log:
            process = subprocess.Popen([pgbouncer.program, str(configuration)], stdout=log, stderr=log, cwd="/", **drop)
        try:
            _wait_until_listening(port, process, Path(folder, "log"))
            yield url.set(host="127.0.0.1", port=port, query={}).render_as_string(hide_password=False)
        finally:
            process.kill()
            process.wait()


def _configuration(url: URL, port: int, options: dict[str, object]) -> str:
    place: dict[str, object] = {"host": url.host or url.query["host"], "port": url.port or url.query.get("port", 5432)}
    if url.password:
        place["password"] = url.password
    server = " ".join(f"{name}='{value}'" for name, value in place.items())
    common: dict[str, object] = {
        "listen_addr": "127.0.0.1",
        "listen_port": port,
        "unix_socket_dir": "",
        "auth_type": "trust",
        "auth_user": url.username,  # which looks up all other users
        "auth_file": "/dev/null",
        "max_client_conn": 1000,
        "log_connections": 0,
        "log_disconnections": 0,
    }
    settings = "\n".join(f"{name} = {value}" for name, value in {**common, **options}.items())
    return f"[databases]\n* = {server}\n[pgbouncer]\n{settings}\n"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_listening(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError(f"PgBouncer does not listen: {log.read_text()}")
