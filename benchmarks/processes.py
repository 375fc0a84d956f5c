"""Resource use of processes and the cores they run on, from Linux's /proc. Elsewhere unknown, and not pinned."""

import os
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PROC = Path("/proc")
_PARENT, _USER, _CHILDREN_SYSTEM = 1, 11, 14  # places in /proc/<pid>/stat after the name of the program


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/<pid>/stat after the program's name, or none if there is no such process."""
    with suppress(OSError):
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return []


def parent(pid: int) -> int | None:
    """Return the parent of a process."""
    stat = _stat(pid)
    return int(stat[_PARENT]) if stat else None


def program(pid: int) -> str:
    """Return the name of a process's program, or "" if there is no such process."""
    with suppress(OSError):
        return (_PROC / str(pid) / "comm").read_text().strip()
    return ""


def family(pid: int) -> list[int]:
    """Return the process and all its descendants."""
    assert pid > 0, "0 is the parent of all"
    children: dict[int | None, list[int]] = defaultdict(list)
    for entry in _PROC.glob("[0-9]*"):
        children[parent(int(entry.name))].append(int(entry.name))
    found = [pid]
    for member in found:
        found += children[member]
    return found


def cpu_seconds(pid: int | None) -> float | None:
    """Return the user and system CPU of a process and its descendants, including those that have ended."""
    if pid is None or not _stat(pid):
        return None
    ticks = sum(int(value) for member in family(pid) for value in _stat(member)[_USER : _CHILDREN_SYSTEM + 1])
    return ticks / os.sysconf("SC_CLK_TCK")


def resident_megabytes(pid: int) -> float | None:
    """Return the memory that a process and its descendants hold, counting shared pages for each."""
    if not _stat(pid):
        return None
    pages = 0
    for member in family(pid):
        with suppress(OSError):
            pages += int((_PROC / str(member) / "statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def split_cores() -> tuple[set[int], set[int]] | None:
    """Return the core for the server and the cores for everything else; None if there are too few or it is unknown."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    *others, last = sorted(os.sched_getaffinity(0))
    return ({last}, set(others)) if others else None


def pin(pid: int, cores: set[int]) -> bool:
    """Run a process and its descendants on these cores only; return whether that was allowed."""
    try:
        for member in family(pid):
            with suppress(ProcessLookupError):
                os.sched_setaffinity(member, cores)
    except PermissionError:
        return False
    return True


@contextmanager
def pinned(pid: int, cores: set[int]) -> Iterator[bool]:
    """Pin a process that others use, too, and let it go again; yield whether that was allowed."""
    before = os.sched_getaffinity(pid)
    try:
        yield pin(pid, cores)
    finally:
        pin(pid, before)
