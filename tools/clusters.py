"""A Postgres with a standby, for tests and benchmarks: real servers, which can be frozen, killed and promoted."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.postgres_keeper import server_account

_PATIENCE_SECONDS = 20.0
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "fsync": "off",
    "shared_buffers": "16MB",
    "max_wal_senders": "4",
    "wal_keep_size": "64MB",
    "unix_socket_directories": "",
}


class NoPrograms(Exception):
    """Postgres's own programs are not installed."""


def programs() -> Path:
    """Return the directory of Postgres's programs, among them pg_basebackup, which the wheel lacks; NoPrograms if there
    is none."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    on_path = shutil.which("pg_basebackup")
    candidates = [*installed, *([Path(on_path).resolve().parent] if on_path else [])]
    found = [path for path in candidates if (path / "pg_basebackup").exists() and (path / "postgres").exists()]
    if not found:
        raise NoPrograms("Postgres's own programs are not installed: pg_basebackup")
    return found[-1]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Node:
    """One server."""

    data: Path
    binaries: Path
    port: int = field(default_factory=_free_port)
    process: "subprocess.Popen[Any] | None" = None

    @property
    def place(self) -> str:
        """Where it listens, for a URL."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The URL of its database, at this server only."""
        return f"postgresql+asyncpg://postgres@{self.place}/postgres"

    def run(self, program: str, *arguments: str | Path) -> None:
        """Run one of Postgres's programs."""
        subprocess.run([self.binaries / program, *arguments], check=True, capture_output=True, **_as_account())

    def start(self, **settings: str) -> None:
        """Start it, and wait until it accepts connections."""
        options = [f"-c{name}={value}" for name, value in {**_SETTINGS, **settings, "port": str(self.port)}.items()]
        command = [str(self.binaries / "postgres"), "-D", str(self.data), *options]
        with (self.data.parent / f"{self.data.name}.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, **_as_account())
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while subprocess.run(
            [self.binaries / "pg_isready", "-q", "-h127.0.0.1", f"-p{self.port}"], check=False
        ).returncode:
            assert time.monotonic() < deadline, "Postgres does not start"
            time.sleep(0.05)

    def promote(self) -> None:
        """Make a standby the primary."""
        self.run("pg_ctl", "promote", "-w", "-D", self.data)

    def freeze(self) -> None:
        """Stop all of its processes, as if the machine were frozen: the kernel still accepts connections."""
        self._signal(signal.SIGSTOP)

    def wake(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kill all of its processes at once."""
        self._signal(signal.SIGKILL)
        if self.process is not None:
            self.process.wait()

    def _signal(self, number: int) -> None:
        assert self.process is not None
        if self.process.poll() is not None:
            return
        parent = self.process.pid
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        for pid in [parent, *map(int, children)]:
            with suppress(ProcessLookupError):
                os.kill(pid, number)


@dataclass
class Cluster:
    """A primary and its standby."""

    primary: Node
    standby: Node

    @property
    def url(self) -> str:
        """The URL that names both, as operators write it."""
        places = f"{self.primary.place},{self.standby.place}"
        return f"postgresql://postgres@{places}/postgres?target_session_attrs=read-write"


@contextmanager
def cluster(*, is_synchronous: bool = False, **settings: str) -> Iterator[Cluster]:
    """Run a primary with a standby, which has confirmed each commit if it is synchronous. `settings` are Postgres's."""
    binaries = programs()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        if account := server_account():
            os.chown(root, account.pw_uid, account.pw_gid)
        root.chmod(0o755)
        primary, standby = Node(root / "primary", binaries), Node(root / "standby", binaries)
        try:
            primary.run(
                "initdb", "-D", primary.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "-N"
            )
            primary.start(**settings, **({"synchronous_standby_names": "*"} if is_synchronous else {}))
            standby.run("pg_basebackup", "-D", standby.data, "-R", "-Xstream", "-cfast", "-N", f"-d{_dsn(primary)}")
            standby.start(**settings)
            yield Cluster(primary, standby)
        finally:
            for node in (primary, standby):
                if node.process is not None:
                    node.kill()


def _dsn(node: Node) -> str:
    return f"host=127.0.0.1 port={node.port} user=postgres"


def _as_account() -> dict[str, Any]:
    """Return what runs a program as another account, as Postgres refuses root."""
    account = server_account()
    if account is None:
        return {"cwd": "/"}
    return {"cwd": "/", "user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
