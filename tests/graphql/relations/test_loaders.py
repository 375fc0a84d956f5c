"""Dataloaders of an operation that is over."""

import asyncio
import gc

from app.graphql.relations.loaders import Loader


async def test_a_failure_that_nobody_waits_for_is_no_error_in_the_log() -> None:
    heard: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: heard.append(context))

    async def fail(keys: list[int]) -> list[int]:
        raise RuntimeError("the operation is over")

    abandoned = Loader(fail).load(1)
    await asyncio.wait([abandoned])
    assert isinstance(abandoned._exception, RuntimeError)  # looked at without retrieving it
    del abandoned
    gc.collect()

    assert heard == []
