"""The arithmetic: single measurements, and the figures reported for all rounds."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from statistics import median


def percentile(ascending: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of all values, from 0 to 1, does not exceed."""
    return ascending[max(0, ceil(share * len(ascending)) - 1)]


@dataclass(frozen=True)
class Measurement:
    """One round of a contestant in a scenario, as the load generator saw it."""

    answers: int
    warm_up_answers: int
    seconds: float
    p50_ms: float
    p99_ms: float
    server_cpu_seconds: float | None
    postgres_cpu_seconds: float | None
    load_cpu_seconds: float

    @property
    def per_second(self) -> float:
        """Answers per second."""
        return self.answers / self.seconds

    def milliseconds_each(self, seconds: float | None) -> float | None:
        """Return milliseconds per answer."""
        return None if seconds is None else 1_000 * seconds / self.answers


@dataclass(frozen=True)
class Series:
    """The rounds of a contestant in a scenario at a number of connections."""

    scenario: str
    connections: int
    contestant: str
    rounds: tuple[Measurement, ...]

    @property
    def per_second(self) -> float:
        """The median of answers per second."""
        return median(measured.per_second for measured in self.rounds)

    @property
    def spread_percent(self) -> float:
        """Half of the way from the slowest round to the fastest, in percent of the median."""
        rates = [measured.per_second for measured in self.rounds]
        return 50 * (max(rates) - min(rates)) / self.per_second

    @property
    def p50_ms(self) -> float:
        """The median of the rounds' median latencies, in milliseconds."""
        return median(measured.p50_ms for measured in self.rounds)

    @property
    def p99_ms(self) -> float:
        """The median of the rounds' 99th percentiles, in milliseconds."""
        return median(measured.p99_ms for measured in self.rounds)

    @property
    def server_ms(self) -> float | None:
        """CPU of the server's processes per answer, in milliseconds."""
        return _median(measured.milliseconds_each(measured.server_cpu_seconds) for measured in self.rounds)

    @property
    def postgres_ms(self) -> float | None:
        """CPU of all processes of Postgres per answer, in milliseconds."""
        return _median(measured.milliseconds_each(measured.postgres_cpu_seconds) for measured in self.rounds)

    @property
    def load_ms(self) -> float | None:
        """CPU of the load generator per answer, in milliseconds."""
        return _median(measured.milliseconds_each(measured.load_cpu_seconds) for measured in self.rounds)


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def ratio(series: Series, other: Series | None) -> float | None:
    """Return how many times as many answers per second as the other: the median of what neighbors in time say."""
    if other is None:
        return None
    pairs = zip(series.rounds, other.rounds, strict=True)
    return median(one.per_second / another.per_second for one, another in pairs)


def ratio_to(name: str, series: Series, everything: Iterable[Series]) -> float | None:
    """Return the ratio to the contestant of this name in the same scenario, None where it took no part."""
    place = (series.scenario, series.connections, name)
    others: Mapping[tuple[str, int, str], Series] = {
        (other.scenario, other.connections, other.contestant): other for other in everything
    }
    return ratio(series, others.get(place))
