"""The printed report, and the figures as JSON."""

import os
import platform
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.figures import Series, ratio_to
from benchmarks.race import Course, Outcome
from tools.bulk import Size

HEADINGS = (
    "conn.",
    "contestant",
    "req/s",
    "±%",
    "p50 ms",
    "p99 ms",
    "server ms",
    "Postgres ms",
    "load ms",
    "statements",
    "× sql",
    "× tutorial",
)


def facts(course: Course, outcome: Outcome, size: Size, postgres: str) -> dict[str, str]:
    """Return the facts needed to interpret the figures."""
    return {
        "Python": f"{platform.python_version()} ({_build()})",
        "Postgres": postgres,
        "CPU": f"{os.cpu_count()} × {_cpu_model()}",
        "Pinned": outcome.pinning,
        "Data": f"{size.stores:,} stores, {size.products:,} products, {size.orders:,} orders",
        "Turns": f"{course.rounds} × {course.seconds:g} s, contestants one after the other",
        "Others": f"load average {outcome.load_average:.1f} before the start",
    }


def _build() -> str:
    """Return how Python was built; a distribution may optimize without configure's option."""
    date, compiler = platform.python_build()[1], platform.python_compiler()
    optimized = "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or "")
    return f"built {date} with {compiler}, {'' if optimized else 'not '}configured with --enable-optimizations"


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor() or "unknown")


def printed(about: Mapping[str, str], course: Course, outcome: Outcome) -> str:
    """Return facts, tables and memory as text."""
    parts = ["\n".join(f"{name + ':':<10}{fact}" for name, fact in about.items())]
    for scenario in course.scenarios:
        rows = [_row(series, outcome) for series in outcome.series if series.scenario == scenario.name]
        parts.append(f"{scenario.name}: {scenario.title}\n{aligned([HEADINGS, *rows])}")
    memory = [(name, _number(before), _number(after)) for name, (before, after) in outcome.memory.items()]
    parts.append(aligned([("contestant", "MB before", "MB after"), *memory], texts=1))
    return "\n\n".join(parts)


def _row(series: Series, outcome: Outcome) -> tuple[str, ...]:
    figures = (
        series.per_second,
        series.spread_percent,
        series.p50_ms,
        series.p99_ms,
        series.server_ms,
        series.postgres_ms,
        series.load_ms,
        outcome.statements.get((series.contestant, series.scenario)),
        ratio_to("sql", series, outcome.series),
        ratio_to("tutorial", series, outcome.series),
    )
    return (str(series.connections), series.contestant, *map(_number, figures))


def _number(value: float | None) -> str:
    """Return a number with about three significant digits, or "" if it is unknown."""
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def aligned(rows: Sequence[Sequence[str]], texts: int = 2) -> str:
    """Return a table whose first columns are texts and whose other columns are numbers."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = zip(row, widths, strict=True)
        lines.append("  ".join(f"{cell:<{w}}" if i < texts else f"{cell:>{w}}" for i, (cell, w) in enumerate(cells)))
    return "\n".join(line.rstrip() for line in lines)


def raw(about: Mapping[str, str], outcome: Outcome) -> dict[str, Any]:
    """Return all figures, round by round, for JSON."""
    return {
        "facts": dict(about),
        "arguments": sys.argv[1:],
        "series": [asdict(series) for series in outcome.series],
        "statements": [
            {"contestant": contestant, "scenario": scenario, "per_request": count}
            for (contestant, scenario), count in outcome.statements.items()
        ],
        "memory_megabytes": [
            {"contestant": name, "before": before, "after": after} for name, (before, after) in outcome.memory.items()
        ],
    }
