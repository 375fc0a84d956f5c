"""How processes of 2.0.0 and this version hear each other during an upgrade. Delete this module in the next release.

2.0.0 notifies in the transaction of the mutation: each line of the text is a kind of topic, its key, and the subject.
It ignores a kind that nobody follows, so the first line marks what this version has sent."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from uuid import UUID

from app.events import repository
from app.events.catalog import TYPES, Follow, Topic, followed
from app.events.repository import Cursor, Driver, Positioned

CHANNEL = "orders_api"
APPLICATION_NAME = "orders-api events"
"""The name of the connections on which 2.0.0 listens."""
_LINES = 90  # Postgres takes texts of up to 8,000 bytes
_MARK = f"Log {UUID(int=0).hex} {UUID(int=0).hex}"
_IS_RUNNING = """
    SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1)
"""
_OF_STORES = "SELECT id FROM products WHERE store_id = ANY($1)"


async def is_running(driver: Driver) -> bool:
    """Return whether a process of 2.0.0 serves the same database."""
    return bool(await driver.fetchval(_IS_RUNNING, APPLICATION_NAME))


async def send(driver: Driver, position: int) -> None:
    """Notify processes of 2.0.0 of the events of a batch."""
    cursor = Cursor(position - 1, Decimal())
    while events := await repository.after(driver, cursor, position):
        lines = await _lines(driver, events)
        texts = ["\n".join([_MARK, *lines[start : start + _LINES]]) for start in range(0, len(lines), _LINES)]
        await driver.executemany("SELECT pg_notify($1, $2)", [(CHANNEL, text) for text in texts])
        cursor = events[-1].cursor


async def _lines(driver: Driver, events: Sequence[Positioned]) -> Sequence[str]:
    found = [followed(event.type, event.entity_id, event.store_id, event.payload) for event in events]
    stores = [event.entity_id for event in events if event.type in TYPES and TYPES[event.type].reaches_products]
    products = await driver.fetch(_OF_STORES, stores) if stores else ()
    found += [(Topic(Follow.PRODUCT, row["id"]), row["id"]) for row in products]
    lines = (f"{topic.kind} {topic.key.hex} {subject.hex}" for topic, subject in filter(None, found))
    return [*dict.fromkeys(lines)]


def heard(text: str) -> Iterator[tuple[Topic, UUID]]:
    """Yield the topics and subjects in a text of 2.0.0; nothing for a text of this version, which is in the log.
    ValueError for any other text."""
    if text.startswith(_MARK):
        return
    for line in text.splitlines():
        kind, key, subject = line.split()
        yield Topic(kind, UUID(key)), UUID(subject)
