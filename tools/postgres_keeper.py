"""Runs the Postgres of one directory, and stops it when its last user has ended.

Every user holds a shared lock on `users.lock`. The keeper, a small detached process, is the parent of Postgres. It
waits for the exclusive lock on that file, which the kernel grants once all users have ended, however they ended;
then it stops Postgres. The other locks are exclusive:

- `start.lock` serializes starts: held by the user that starts Postgres, and by the keeper until it is ready.
- `keeper.lock` is held while a keeper runs.
- `server.lock` is held by the keeper and inherited by every process of Postgres. Acquiring it proves that none is
  left, so a stale postmaster.pid can be deleted, whichever process has that id now.

`postgres` runs this as a script that imports the standard library only, so that it starts fast.
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
PATIENCE = 30.0  # seconds; a start takes a fraction of one unless Postgres recovers from a crash
POLL = 0.02  # seconds; Postgres takes 0.03 to start with existing data
PR_SET_PDEATHSIG = 1  # from Linux's <sys/prctl.h>
Process = subprocess.Popen[bytes]


class StartFailed(Exception):
    """Postgres failed to initialize or start; the message ends with its output."""


# Shared by users and the keeper


def lock_file(home: Path, name: str) -> IO[bytes]:
    """Return the open file of a lock; closing it releases the lock."""
    return (home / f"{name}.lock").open("ab")


def is_held(home: Path, name: str) -> bool:
    """Return whether another process holds the lock."""
    with lock_file(home, name) as lock:
        return not _acquired(lock)


def polls() -> Iterator[None]:
    """Yield repeatedly until PATIENCE has passed."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        yield
        time.sleep(POLL)


def is_ready(home: Path) -> bool:
    """Return whether Postgres accepts connections: postmaster.pid says so, as for pg_ctl, and the socket is open."""
    return _pid_file_line(home, 8) == "ready" and _listens(home)


def _listens(home: Path) -> bool:
    """Return whether a postmaster's socket is open, in which case postmaster.pid isn't stale."""
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(f"{socket_directory(home)}/.s.PGSQL.{PORT}") == 0


def socket_directory(home: Path) -> str:
    """Return the socket directory of the running Postgres, which depends on the TMPDIR of the user that started it."""
    return _pid_file_line(home, 5)


def server_account() -> pwd.struct_passwd | None:
    """Return the account that runs Postgres for root, which it refuses; None if the caller runs it."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


def major_version(binaries: Path) -> int:
    """Return the major version of the Postgres in a directory, 0 if there is no working one."""
    with suppress(OSError):
        output = subprocess.run([binaries / "postgres", "--version"], capture_output=True, check=False).stdout
        found = re.search(rb"\d+", output)
        return int(found[0]) if found and (binaries / "initdb").exists() else 0
    return 0


def _pid_file_line(home: Path, number: int) -> str:
    """Return a line of postmaster.pid, "" if missing: 1 is the pid, 5 the socket directory, 8 the status."""
    with suppress(OSError, IndexError):
        return (home / "data" / "postmaster.pid").read_text().splitlines()[number - 1].strip()
    return ""


def _acquired(lock: IO[bytes]) -> bool:
    with suppress(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


# For the keeper only


def keep(home: Path, binaries: Path, sockets: Path) -> None:
    """Run Postgres while it has users; print READY once it accepts connections."""
    with lock_file(home, "users") as users, lock_file(home, "keeper") as keeper, lock_file(home, "server") as server:
        fcntl.flock(keeper, fcntl.LOCK_EX)
        _end_orphans(home, server)
        if not (home / "data").exists():
            _initialize(home, binaries, server)
        with _postgres(home, binaries, sockets, server) as postgres:
            _wait_until_ready(home, postgres)
            sys.stdout.write(READY)
            sys.stdout.flush()
            _detach_from_starter()

            def stop_when_unused() -> None:
                fcntl.flock(users, fcntl.LOCK_EX)  # kept, so that new users wait until the keeper has ended
                postgres.send_signal(signal.SIGINT)

            Thread(target=stop_when_unused, daemon=True).start()
            postgres.wait()


def _end_orphans(home: Path, server: IO[bytes]) -> None:
    """Acquire the server lock; stop a Postgres that a killed keeper left behind."""
    for _ in polls():
        if _acquired(server):
            (home / "data" / "postmaster.pid").unlink(missing_ok=True)
            return
        pid = _pid_file_line(home, 1)
        if pid and _listens(home):  # otherwise another process may have this id by now
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGINT)
    raise StartFailed(f"Another Postgres is using {home} and does not stop.")


def _initialize(home: Path, binaries: Path, server: IO[bytes]) -> None:
    """Create the cluster and its database under another name, so that `data` exists only when complete."""
    locale = "en_US.UTF-8" if sys.platform == "darwin" else "C.UTF-8"  # the one that every system of that kind has
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
    """Return the subprocess arguments for processes of Postgres: their account and lock."""
    account = server_account()
    drop = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if account else {}
    return {"pass_fds": [server.fileno()], **drop}


@contextmanager
def _private_directory(directory: Path) -> Iterator[Path]:
    """Create a directory that only the server's account can enter; delete it at the end if it still exists."""
    if directory.exists():  # left behind by a killed keeper
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
    """Run Postgres until the context ends, or on Linux until the keeper is killed."""
    command: list[Any] = [binaries / "postgres", "-D", home / "data", "--listen_addresses=", f"--port={PORT}"]
    command += [f'--unix_socket_directories="{sockets}"', "--max_connections=200", "--shared_buffers=128MB"]
    with _private_directory(sockets), (home / "postgres.log").open("ab") as log:
        process: Process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=_end_with_keeper,  # safe: the keeper has no other threads yet
            **_as_server(server),
        )
        with process:
            try:
                yield process
            finally:
                process.send_signal(signal.SIGINT)  # a fast shutdown disconnects clients and loses no data


def _end_with_keeper() -> None:
    """Have the kernel stop this process when its parent dies; called between fork and exec."""
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


def _detach_from_starter() -> None:
    """Close stdin, which is the start lock, and the output, for whose end the starter waits."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)


if __name__ == "__main__":
    if os.fork():
        os._exit(0)  # so that the keeper isn't a child of the user that started it
    try:
        keep(*map(Path, sys.argv[1:]))
    except StartFailed as failure:
        sys.exit(str(failure))
