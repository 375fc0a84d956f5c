"""What dataloaders keep, and what they do when their operation is over."""

import asyncio
import gc
from unittest.mock import patch

from app.db.pagination import Listing
from app.graphql.relations.loaders import Loader
from tests.api import Api
from tests.market import Market


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


async def test_the_statement_of_a_page_is_made_once(api: Api, market: Market) -> None:
    """It consists of hundreds of objects, which only a garbage collection frees."""
    await market.product()
    page_each = Listing.page_each
    query = "{ stores(first: 3) { nodes { products(first: 17) { nodes { id } } } } }"
    with patch.object(Listing, "page_each", autospec=True, side_effect=page_each) as made:
        for _ in range(3):
            await api.data(query)
    assert made.call_count == 1
