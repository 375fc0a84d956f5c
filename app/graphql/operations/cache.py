"""A cache that holds no more than it may: in number, and in weight."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from itertools import chain
from math import inf
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")

_KEPT_FOR_REUSE = 3 / 4


class Cache(Generic[K, T]):
    """Keeps what is used again. What was used only once makes way first, so that however much comes that nobody uses
    again, it displaces hardly anything but itself (a segmented LRU). Pinned entries are always kept."""

    def __init__(self, most: int, heaviest: float = inf) -> None:
        """Keep so many entries, and so much weight of all of them together; the one used last always."""
        self._most = most
        self._heaviest = heaviest
        self._once: OrderedDict[K, T] = OrderedDict()
        self._again: OrderedDict[K, T] = OrderedDict()
        self._pinned: dict[K, T] = {}
        self._weights: dict[K, int] = {}
        self.weight = 0
        """What the entries weigh together, but for pinned ones."""

    def __len__(self) -> int:
        return len(self._once) + len(self._again) + len(self._pinned)

    def __iter__(self) -> Iterator[T]:
        return chain(self._once.values(), self._again.values(), self._pinned.values())

    def __contains__(self, key: K) -> bool:
        return key in self._again or key in self._pinned or key in self._once

    def find(self, key: K) -> T | None:
        """Return the entry; None if it is missing."""
        if key in self._again:
            self._again.move_to_end(key)
            return self._again[key]
        if key in self._once:
            return self._keep_for_reuse(key)
        return self._pinned.get(key)

    def add(self, key: K, entry: T, weight: int = 0, *, pin: bool = False) -> None:
        """Keep an entry, unless there is one."""
        if key not in self:
            (self._pinned if pin else self._once)[key] = entry
            self.weigh(key, weight)
            self._forget_surplus()

    def get(self, key: K, make: Callable[[], T]) -> T:
        """Return the entry, which is made if it is missing."""
        entry = self.find(key)
        if entry is None:
            entry = make()
            self.add(key, entry)
        return entry

    def weigh(self, key: K, weight: int) -> None:
        """Set the weight of an entry."""
        if self._weights.get(key, 0) != weight and (key in self._again or key in self._once):
            self.weight += weight - self._weights.get(key, 0)
            self._weights[key] = weight
            self._forget_surplus()

    def _keep_for_reuse(self, key: K) -> T:
        entry = self._again[key] = self._once.pop(key)
        if len(self._again) > max(1, _KEPT_FOR_REUSE * self._most):
            oldest, demoted = self._again.popitem(last=False)
            self._once[oldest] = demoted
        return entry

    def _forget_surplus(self) -> None:
        while self._is_too_much():
            forgotten, _ = (self._once if len(self._once) > 1 or not self._again else self._again).popitem(last=False)
            self.weight -= self._weights.pop(forgotten, 0)

    def _is_too_much(self) -> bool:
        number = len(self._once) + len(self._again)
        return number > self._most or (self.weight > self._heaviest and number > 1)
