"""What one task waits for."""

import asyncio

from app.wake import Inbox, Wake


async def test_a_task_waits_until_its_condition_holds() -> None:
    wake, found = Wake(), list[str]()
    waiting = asyncio.create_task(wake.until(lambda: "wanted" in found))
    for each in ("other", "wanted"):
        await asyncio.sleep(0)
        assert not waiting.done()
        found.append(each)
        wake.call()
        wake.call()  # a call that nobody waits for is harmless
    await waiting


async def test_what_was_received_is_read_in_its_order() -> None:
    inbox = Inbox[int]()
    reading = asyncio.create_task(inbox.get())
    await asyncio.sleep(0)
    for number in range(3):
        inbox.put_nowait(number)
    assert [await reading, await inbox.get()] == [0, 1]
    assert not inbox.empty()
    assert await inbox.get() == 2
    assert inbox.empty()


async def test_a_reader_that_gives_up_loses_nothing() -> None:
    inbox = Inbox[int]()
    reading = asyncio.create_task(inbox.get())
    await asyncio.sleep(0)
    inbox.put_nowait(1)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    assert await inbox.get() == 1
