"""Events in transactions, on the wire, and waiting for a subscriber."""

from uuid import UUID, uuid4

import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from app.db.engine import Database
from app.errors import EventsMissed, Restarting
from app.events.catalog import Topic
from app.events.following import MAX_WAITING, Subscription
from app.events.log import Events
from tests.events import legacy_text

NOWHERE = Database(create_async_engine("postgresql+asyncpg://nowhere/none"))
STORE, ORDER = Topic("Placed", uuid4()), Topic("Order", uuid4())


async def next_of(subscription: Subscription) -> UUID:
    """Return the subject of the next event."""
    await subscription.wait()
    return subscription.next()


async def test_subjects_wait_once_and_in_their_order() -> None:
    subscription, keys = Subscription(STORE, has_state=False), [uuid4() for _ in range(MAX_WAITING)]
    for key in (*keys, *keys):
        subscription.notify(key)
    assert [await next_of(subscription) for _ in keys] == keys


async def test_what_has_a_state_waits_once_however_often_it_changes() -> None:
    subscription = Subscription(ORDER, has_state=True)
    for _ in range(10 * MAX_WAITING):
        subscription.notify(ORDER.key)
        subscription.miss()
    assert await next_of(subscription) == ORDER.key
    assert not subscription._waiting


async def test_too_many_that_wait_end_the_subscription_with_a_reason() -> None:
    subscription = Subscription(STORE, has_state=False)
    for _ in range(MAX_WAITING + 1):
        subscription.notify(uuid4())
    with pytest.raises(EventsMissed):
        await next_of(subscription)


async def test_the_end_is_told_to_everyone() -> None:
    events = Events(NOWHERE)
    subscriptions = [events.follow(topic, has_state=topic is ORDER) for topic in (STORE, ORDER, ORDER)]
    assert len(events) == 3
    events.end(Restarting())
    for subscription in subscriptions:
        with pytest.raises(Restarting):
            await next_of(subscription)
        events.leave(subscription)
        events.leave(subscription)
    assert len(events) == 0


@pytest.mark.parametrize("text", ["", "Order", "Order x y", "Order 1 2 3", f"Order {UUID(int=1).hex}", "\U0001f600"])
def test_what_is_no_event_is_ignored(text: str) -> None:
    events = Events(NOWHERE)
    subscription = events.follow(ORDER, has_state=True)
    events._hear_legacy(None, 0, "", text)
    assert not subscription._waiting
    events._hear_legacy(None, 0, "", legacy_text(ORDER))
    assert subscription._waiting
