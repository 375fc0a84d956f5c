"""A cache that holds no more than it may: in number, and in weight."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from math import inf
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class Cache(Generic[K, T]):
    """Keeps what was used last; what was not used for the longest time goes first."""

    def __init__(self, most: int, heaviest: float = inf) -> None:
        """Keep so many entries, and so much weight of all of them together; the one used last always."""
        self._most = most
        self._heaviest = heaviest
        self._entries: OrderedDict[K, T] = OrderedDict()
        self._weights: dict[K, int] = {}
        self.weight = 0
        """What the entries weigh together."""

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[T]:
        return iter(self._entries.values())

    def __contains__(self, key: K) -> bool:
        return key in self._entries

    def get(self, key: K, make: Callable[[], T]) -> T:
        """Return the entry, which is made where it is missing."""
        if key in self._entries:
            self._entries.move_to_end(key)
        else:
            self._entries[key] = make()
            self._forget_surplus()
        return self._entries[key]

    def weigh(self, key: K, weight: int) -> None:
        """Set the weight of an entry."""
        if key in self._entries and self._weights.get(key, 0) != weight:
            self.weight += weight - self._weights.get(key, 0)
            self._weights[key] = weight
            self._forget_surplus()

    def _forget_surplus(self) -> None:
        while len(self._entries) > self._most or (self.weight > self._heaviest and len(self._entries) > 1):
            key, _ = self._entries.popitem(last=False)
            self.weight -= self._weights.pop(key, 0)
