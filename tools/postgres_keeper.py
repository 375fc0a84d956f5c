"""Keeps the Postgres of one directory: starts it, and stops it when its last user has gone.

Every user holds a shared lock on `users.lock`. The keeper, a small detached process, is Postgres's parent and
waits for the exclusive lock on that file, which the kernel hands over when all users are gone however they
ended; then it stops Postgres. The other locks, all exclusive:

- `start.lock` serialises starting: held by the user who starts, and by the keeper until Postgres is ready;
- `keeper.lock` is held while a keeper lives;
- `server.lock` is held by the keeper and, inherited, by every process of Postgres: whoever gets it knows that
  none is left, so that a stale postmaster.pid can go, whatever process has its number by now.

Run as a script by `postgres`, with nothing but the standard library, that it may start fast.
"""

import ctypes
import fcntl
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import IO, Any

SUPERUSER, DATABASE, PORT = "postgres", "orders", 5432
READY = "ready"
PATIENCE = 30.0  # seconds; a start takes a fraction of one, unless a crash left much to recover
POLL = 0.02  # seconds; what there is to wait for, the start of Postgres on existing data, takes 0.03
PR_SET_PDEATHSIG = 1  # from Linux's <sys/prctl.h>
Process = subprocess.Popen[bytes]


class StartFailed(Exception):
    """Postgres could not be initialised or started; the message ends with what it said."""


# What users and the keeper share


def lock_file(home: Path, name: str) -> IO[bytes]:
    """The open file behind a lock; closing it releases the lock."""
    return (home / f"{name}.lock").open("ab")


def is_held(home: Path, name: str) -> bool:
    """Whether somebody holds the lock."""
    with lock_file(home, name) as lock:
        return not _acquired(lock)


def polls() -> Iterator[None]:
    """Tick until patience ends."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        yield
        time.sleep(POLL)


def is_ready(home: Path) -> bool:
    """Whether Postgres accepts connections: it says so in the file by which pg_ctl knows, and lives."""
    return _pid_file_line(home, 8) == "ready" and _listens(home)


def _listens(home: Path) -> bool:
    """Whether a postmaster has its socket open, so that postmaster.pid cannot be stale."""
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(f"{socket_directory(home)}/.s.PGSQL.{PORT}") == 0


def socket_directory(home: Path) -> str:
    """Where the running Postgres has its socket: it depended on the TMPDIR of whoever started it."""
    return _pid_file_line(home, 5)


def server_account() -> pwd.struct_passwd | None:
    """Who runs Postgres for root, as it refuses to run as root; None: the caller does."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


def major_version(binaries: Path) -> int:
    """The version of the Postgres in a directory, 0 if none that works is there."""
    with suppress(OSError):
        said = subprocess.run([binaries / "postgres", "--version"], capture_output=True, check=False).stdout
        found = re.search(rb"\d+", said)
        return int(found[0]) if found and (binaries / "initdb").exists() else 0
    return 0


def _pid_file_line(home: Path, number: int) -> str:
    """A line of postmaster.pid, "" until it is there; 1 is the pid, 5 the socket directory, 8 the status."""
    with suppress(OSError, IndexError):
        return (home / "data" / "postmaster.pid").read_text().splitlines()[number - 1].strip()
    return ""


def _acquired(lock: IO[bytes]) -> bool:
    with suppress(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


# What the keeper alone does


def keep(home: Path, binaries: Path, sockets: Path) -> None:
    """Run Postgres for as long as it has users; say READY on stdout once it accepts connections."""
    with (
        lock_file(home, "users") as users,
        lock_file(home, "keeper") as keeper,
        lock_file(home, "server") as server,
    ):
        fcntl.flock(keeper, fcntl.LOCK_EX)
        _end_orphans(home, server)
        if not (home / "data").exists():
            _initialise(home, binaries, server)
        with _postgres(home, binaries, sockets, server) as postgres:
            _wait_until_ready(home, postgres)
            sys.stdout.write(READY)
            sys.stdout.flush()
            _let_go_of_starter()
            Thread(target=_stop_when_unused, args=(users, postgres), daemon=True).start()
            postgres.wait()


def _end_orphans(home: Path, server: IO[bytes]) -> None:
    """Acquire the server lock, stopping the Postgres that a killed keeper may have left."""
    for _ in polls():
        if _acquired(server):
            (home / "data" / "postmaster.pid").unlink(missing_ok=True)
            return
        pid = _pid_file_line(home, 1)
        if pid and _listens(home):  # else the number may be anybody's by now
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGINT)
    raise StartFailed(f"Another Postgres still uses {home} and does not stop.")


def _initialise(home: Path, binaries: Path, server: IO[bytes]) -> None:
    """Create the cluster and its database under another name first: `data` exists only when complete."""
    locale = "en_US.UTF-8" if sys.platform == "darwin" else "C.UTF-8"  # each has its own that is always there
    options = [f"--username={SUPERUSER}", "--auth=trust", "--encoding=UTF8", f"--locale={locale}"]
    if major_version(binaries) >= 17:  # so that ILIKE 'ä%' finds Ä on every system
        options += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    with _private_directory(home / "data.partial") as partial:
        _run([binaries / "initdb", "--pgdata", partial, *options], server)
        single_user = [binaries / "postgres", "--single", "--exit_on_error=true", "-D", partial]
        _run([*single_user, "postgres"], server, f"CREATE DATABASE {DATABASE}\n")
        partial.rename(home / "data")


def _run(command: list[Any], server: IO[bytes], text: str = "") -> None:
    arguments = _as_server(server) | {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    done = subprocess.run(command, input=text, check=False, **arguments)
    if done.returncode:
        raise StartFailed(f"{command[0]} failed:\n{done.stdout}")


def _as_server(server: IO[bytes]) -> dict[str, Any]:
    """Arguments of subprocess for every process of Postgres: its account and its lock."""
    account = server_account()
    drop = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if account else {}
    return {"pass_fds": [server.fileno()], **drop}


@contextmanager
def _private_directory(directory: Path) -> Iterator[Path]:
    """A new directory that only the server's account can enter, removed at the end if still there."""
    if directory.exists():  # left by a killed keeper
        shutil.rmtree(directory)
    directory.mkdir(mode=0o700)
    if account := server_account():
        os.chown(directory, account.pw_uid, account.pw_gid)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def _postgres(home: Path, binaries: Path, sockets: Path, server: IO[bytes]) -> Iterator[Process]:
    """A Postgres that ends with the context, or on Linux with the keeper if that is killed."""
    settings = ["listen_addresses=", f'unix_socket_directories="{sockets}"', f"port={PORT}"]
    settings += ["max_connections=200", "shared_buffers=128MB"]
    command: list[Any] = [binaries / "postgres", "-D", home / "data"]
    command += [f"--{setting}" for setting in settings]
    with _private_directory(sockets), (home / "postgres.log").open("ab") as log:
        process: Process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=_end_with_keeper,  # safe: the keeper has no other thread yet
            **_as_server(server),
        )
        with process:
            try:
                yield process
            finally:
                process.send_signal(signal.SIGINT)  # fast shutdown: disconnects clients, loses nothing


def _end_with_keeper() -> None:
    """Between fork and exec: have the kernel stop this process when its parent dies."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGINT)


def _wait_until_ready(home: Path, postgres: Process) -> None:
    for _ in polls():
        if is_ready(home):
            return
        if postgres.poll() is not None:
            break
    log = home / "postgres.log"
    raise StartFailed("\n".join([*log.read_text(errors="replace").splitlines()[-12:], f"(from {log})"]))


def _let_go_of_starter() -> None:
    """Close stdin, which is the start lock, and the output, at whose end the starter waits."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)


def _stop_when_unused(users: IO[bytes], postgres: Process) -> None:
    fcntl.flock(users, fcntl.LOCK_EX)  # and keep it: new users wait until the keeper is gone
    postgres.send_signal(signal.SIGINT)


if __name__ == "__main__":
    if os.fork():
        os._exit(0)  # so that the keeper is no child of the user who happened to start it
    try:
        keep(*map(Path, sys.argv[1:]))
    except StartFailed as failure:
        sys.exit(str(failure))
