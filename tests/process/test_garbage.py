"""Garbage is collected after what makes much of it, not in between."""

import gc
from collections.abc import Iterator

import pytest

from app.process.garbage import collected_afterwards


@pytest.fixture
def collections() -> Iterator[list[int]]:
    """The collections that have begun, of a thousand objects each."""
    begun: list[int] = []

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            begun.append(info["generation"])

    before = gc.get_threshold()
    gc.set_threshold(1_000, *before[1:])
    gc.callbacks.append(note)
    yield begun
    gc.callbacks.remove(note)
    gc.set_threshold(*before)


def test_nothing_is_collected_before_the_end_and_something_afterwards(collections: list[int]) -> None:
    with collected_afterwards():
        collections.clear()
        many: list[list[int]] = [[] for _ in range(20_000)]
        assert collections == []
    many.append([])
    assert collections != []


def test_who_collects_nothing_goes_on_collecting_nothing() -> None:
    gc.disable()
    try:
        with collected_afterwards():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
