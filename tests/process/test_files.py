"""The system's limit on open files, which each connection counts towards."""

import resource
from collections.abc import Callable

import pytest

from app.cli import doctor
from app.cli.output import Mark
from app.process.files import connection_limits, files_wanted, raise_file_limit, why_too_few
from app.settings import Settings

SETTINGS = Settings(connections_per_process=1_000, database_pool_size=36)  # 1,100 files
UNLIMITED = resource.RLIM_INFINITY
System = Callable[[int, int], list[tuple[int, int]]]


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> System:
    """Pretend that the system has these limits; return those that are set."""

    def pretend(allowed: int, most: int) -> list[tuple[int, int]]:
        set_: list[tuple[int, int]] = [(allowed, most)]
        monkeypatch.setattr(resource, "getrlimit", lambda _: set_[-1])
        monkeypatch.setattr(resource, "setrlimit", lambda _, limits: set_.append(limits))
        return set_

    return pretend


@pytest.mark.parametrize(
    ("allowed", "most", "raised_to"),
    [
        (256, UNLIMITED, 1_100),
        (256, 4_096, 1_100),
        (256, 512, 512),
        (2_000, 4_096, 2_000),
        (UNLIMITED, UNLIMITED, UNLIMITED),
    ],
)
def test_the_limit_is_raised_as_far_as_needed_and_allowed(
    system: System, allowed: int, most: int, raised_to: int
) -> None:
    limits = system(allowed, most)
    raise_file_limit(files_wanted(SETTINGS))
    assert limits[-1] == (raised_to, most)


def test_a_system_that_refuses_is_left_as_it_is(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("current limit exceeds maximum limit")

    limits = system(256, UNLIMITED)
    monkeypatch.setattr(resource, "setrlimit", refuse)
    raise_file_limit(files_wanted(SETTINGS))
    assert limits[-1] == (256, UNLIMITED)


@pytest.mark.parametrize(
    ("allowed", "in_all"), [(UNLIMITED, 1_000), (1_100, 1_000), (1_099, 999), (600, 500), (256, 156), (20, 2)]
)
def test_no_more_connections_are_accepted_than_the_system_allows(system: System, allowed: int, in_all: int) -> None:
    system(allowed, UNLIMITED)
    limits = connection_limits(SETTINGS)
    assert (limits.in_all, limits.per_site) == (in_all, in_all // 2)
    assert (why_too_few(SETTINGS) is None) == (in_all == 1_000)


@pytest.mark.parametrize(("most", "mark"), [(4_096, Mark.OK), (256, Mark.WARNING)])
def test_the_doctor_says_whether_they_are_enough(system: System, most: int, mark: Mark) -> None:
    system(256, most)
    (found,) = doctor.connections(SETTINGS)
    assert found.mark is mark
    if mark is Mark.WARNING:
        assert "156 connections per process instead of 1,000, 78 of them per address" in found.what
        assert "ulimit -n 1100" in found.remedy
