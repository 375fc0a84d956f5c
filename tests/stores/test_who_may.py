"""Who may change a store: its owner and superusers, nobody else."""

from typing import Any

import pytest

from app.db.models import Store
from tests.api import Api
from tests.market import Market, gid
from tests.stores.operations import DELETE_STORE, RESTORE_STORE, UPDATE_STORE

CHANGES: dict[str, tuple[str, dict[str, Any] | None]] = {
    "update": (UPDATE_STORE, {"name": "Changed"}),
    "wrong update": (UPDATE_STORE, {"name": ""}),
    "stale update": (UPDATE_STORE, {"name": "Changed", "expectedVersion": 9}),
    "delete": (DELETE_STORE, None),
    "restore": (RESTORE_STORE, None),
}
ALLOWED = {
    "update": "UpdateStoreSuccess",
    "wrong update": "InvalidInput",
    "stale update": "StaleVersion",
    "delete": "DeleteStoreSuccess",
    "restore": "RestoreStoreSuccess",
}
every_change = pytest.mark.parametrize("change", CHANGES)


def operation(change: str, store: Store) -> tuple[str, dict[str, Any]]:
    document, input = CHANGES[change]
    return document, {"id": gid(store)} if input is None else {"input": {"id": gid(store), **input}}


async def assert_untouched(market: Market, store: Store) -> None:
    await market.reload(store)
    assert (store.name, store.version, store.deleted_at) == ("Tea House", 1, None)


@every_change
async def test_a_superuser_may_do_all(api: Api, market: Market, change: str) -> None:
    store = await market.store(name="Tea House")

    data = await api.data(*operation(change, store), user=await market.superuser())

    assert [answer["__typename"] for answer in data.values()] == [ALLOWED[change]]


@every_change
async def test_another_user_is_forbidden_to_and_learns_nothing_of_the_input(
    api: Api, market: Market, change: str
) -> None:
    store = await market.store(name="Tea House")
    other = await market.user()
    await market.store(other)

    error = await api.error(*operation(change, store), user=other)

    assert error["code"] == "FORBIDDEN"
    assert error["message"] == "Only the store's owner and superusers may do this."
    await assert_untouched(market, store)


@every_change
async def test_nobody_must_log_in_first(api: Api, market: Market, change: str) -> None:
    store = await market.store(name="Tea House")

    error = await api.error(*operation(change, store))

    assert error["code"] == "UNAUTHENTICATED"
    await assert_untouched(market, store)


@pytest.mark.parametrize("id", ["", "nonsense", "Store_", "Store_1", "Product_00000000-0000-7000-8000-000000000000"])
async def test_what_is_not_the_id_of_a_store_is_bad_input(api: Api, market: Market, id: str) -> None:
    user = await market.user()

    for document, variables, path in (
        (UPDATE_STORE, {"input": {"id": id}}, ["input", "id"]),
        (DELETE_STORE, {"id": id}, ["input", "id"]),
        (RESTORE_STORE, {"id": id}, ["input", "id"]),
        ("query ($id: ID!) { store(id: $id) { id } }", {"id": id}, ["id"]),
    ):
        error = await api.error(document, variables, user=user)
        assert error["extensions"] == {"code": "BAD_USER_INPUT", "argumentPath": path}
