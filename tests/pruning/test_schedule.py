"""A server prunes by itself, over a connection that it opens for that."""

import pytest
from sqlalchemy import make_url
from structlog.testing import capture_logs

from app.pruning import schedule
from app.pruning.catalog import LOGS
from app.pruning.partitions import AHEAD, Driver
from app.pruning.schedule import Pruning
from app.settings import Settings
from tests.graphql.subscriptions.clients import until
from tests.pruning import DAY, EVENT, ago, insert


async def test_a_process_prunes_again_and_again(database: str, driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "_PAUSE_SECONDS", 0.001)
    pruning = Pruning(make_url(database), Settings())
    assert {pruning.days_ahead(table) for table in LOGS} == {float("inf")}
    await insert(driver, EVENT, ago(40 * DAY))

    async with pruning.running():
        await until(lambda: pruning.rows["events"] == 1)
        await insert(driver, EVENT, ago(40 * DAY))
        await until(lambda: pruning.rows["events"] == 2)

    assert pruning.rows == {"events": 2, "audit entries": 0, "refresh tokens": 0, "idempotency keys": 0}
    for table in LOGS:
        assert AHEAD / DAY < pruning.days_ahead(table) < 2 * AHEAD / DAY


async def test_a_database_that_is_away_is_pruned_later(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "_PAUSE_SECONDS", 0.001)
    pruning = Pruning(make_url("postgresql://nobody@127.0.0.1:1/none"), Settings())
    with capture_logs() as lines:
        async with pruning.running():
            await until(lambda: len(lines) > 2)

    assert {(line["event"], line["log_level"]) for line in lines} == {("not pruned", "warning")}


async def test_what_was_pruned_is_logged(database: str, driver: Driver) -> None:
    await insert(driver, EVENT, ago(40 * DAY))
    with capture_logs() as lines:
        await Pruning(make_url(database), Settings()).once()
        await Pruning(make_url(database), Settings()).once()

    assert [line["result"] for line in lines] == ["events: 1 deleted; partitions: 0 dropped, 0 added"]
