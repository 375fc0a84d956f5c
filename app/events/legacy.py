"""How processes of 2.0.0 and this version hear each other during an upgrade. Delete this module in the next release.

2.0.0 notifies in the transaction of the mutation: each line of the text is a kind of topic, its key, and the subject.
It ignores a kind that nobody follows, so the first line marks what this version has sent."""

from collections.abc import Iterator
from uuid import UUID

from app.events.catalog import TYPES, Follow, Topic

CHANNEL = "orders_api"
_LINES = 90  # Postgres takes texts of up to 8,000 bytes
_MARK = f"Log {UUID(int=0).hex} {UUID(int=0).hex}"
_OF_ENTITIES = {name: type_.follow for name, type_ in TYPES.items() if type_.follow not in (None, Follow.PLACED)}
_KINDS = ", ".join(f"('{name}', '{follow}')" for name, follow in _OF_ENTITIES.items())
_OF_PRODUCTS = ", ".join(f"'{name}'" for name, type_ in TYPES.items() if type_.reaches_products)

# Sends those of the rows of `new`, in the statement that gives them their positions.
SENT = f"""
    SELECT count(pg_notify('{CHANNEL}', text)) AS sent FROM (
        SELECT '{_MARK}' || E'\\n' || string_agg(line, E'\\n') AS text FROM (
            SELECT line, (row_number() OVER () - 1) / {_LINES} AS place FROM (
                SELECT concat_ws(' ', kind, key, key) AS line
                FROM (VALUES {_KINDS}) AS kinds (type, kind)
                JOIN (SELECT type, replace(entity_id::text, '-', '') AS key FROM new) AS changed USING (type)
                UNION
                SELECT concat_ws(' ', '{Follow.PLACED}', replace(store_id::text, '-', ''),
                                 replace(payload ->> 'orderId', '-', ''))
                FROM new WHERE type = 'store_order.placed'
                UNION
                SELECT concat_ws(' ', '{Follow.PRODUCT}', key, key)
                FROM new CROSS JOIN LATERAL (
                    SELECT replace(id::text, '-', '') AS key FROM products WHERE store_id = new.entity_id OFFSET 0
                ) AS with_store
                WHERE type IN ({_OF_PRODUCTS})
            ) AS lines
        ) AS placed GROUP BY place
    ) AS texts
"""  # noqa: S608  # our names


def heard(text: str) -> Iterator[tuple[Topic, UUID]]:
    """Yield the topics and subjects in a text of 2.0.0; nothing for a text of this version, which is in the log.
    ValueError for any other text."""
    if text.startswith(_MARK):
        return
    for line in text.splitlines():
        kind, key, subject = line.split()
        yield Topic(kind, UUID(key)), UUID(subject)
