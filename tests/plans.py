"""What Postgres's plans say about how rows are read."""

from collections.abc import Iterator
from typing import Any

import orjson


def plan_of(explained: Any) -> Any:
    """Return the plan of what EXPLAIN (FORMAT JSON) says, whether the driver has read it or not."""
    return (orjson.loads(explained) if isinstance(explained, str) else explained)[0]["Plan"]


async def generic_plan(driver: Any, sql: str, parameters: int) -> Any:
    """Return the plan for any values of a statement's parameters, which a prepared statement may have."""
    values = f"({', '.join(['NULL'] * parameters)})" if parameters else ""
    await driver.execute(f"SET LOCAL plan_cache_mode = force_generic_plan; PREPARE explained AS {sql}")
    explained = await driver.fetchval(f"EXPLAIN (FORMAT JSON) EXECUTE explained{values}")
    await driver.execute("DEALLOCATE explained; SET LOCAL plan_cache_mode = auto")
    return plan_of(explained)


async def compares_within_indexes(driver: Any) -> bool:
    """Tell whether Postgres reads an index in order while it compares values in it with arrays."""
    return int(await driver.fetchval("SHOW server_version_num")) >= 170_000


def steps(plan: Any) -> Iterator[Any]:
    """Return the plan and all its parts."""
    yield plan
    for part in plan.get("Plans", ()):
        yield from steps(part)


def scanned_whole(plan: Any) -> set[str]:
    """Return the tables of which every row is read."""
    return {step["Relation Name"] for step in steps(plan) if step["Node Type"] == "Seq Scan"}


def indexes(plan: Any) -> set[str]:
    """Return the indexes through which rows are read."""
    return {step["Index Name"] for step in steps(plan) if "Index Name" in step}


def indexes_of_products(plan: Any) -> set[str]:
    """Return the indexes through which products are read, which must not be scanned otherwise."""
    assert "products" not in scanned_whole(plan), plan
    return {name for name in indexes(plan) if "products" in name}


def conditions_of(plan: Any, index: str) -> list[str]:
    """Return what an index is asked for, each time that it is read."""
    return [step["Index Cond"] for step in steps(plan) if step.get("Index Name") == index]


def sorts(plan: Any) -> list[Any]:
    """Return the parts that sort."""
    return [step for step in steps(plan) if "Sort" in step["Node Type"]]


def limits(plan: Any) -> list[Any]:
    """Return the parts that take a page of some rows."""
    return [step for step in steps(plan) if step["Node Type"] == "Limit"]


def sorted_for_a_page(plan: Any) -> bool:
    """Tell whether rows are sorted, of which then only a page is taken."""
    assert limits(plan), plan
    return any(sorts(limit) for limit in limits(plan))


def condition(plan: Any) -> str:
    """Return what an index is asked for."""
    return " ".join(step["Index Cond"] for step in steps(plan) if "Index Cond" in step)
