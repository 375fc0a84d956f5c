"""Changing a store, and its version."""

from typing import Any

import pytest
from sqlalchemy import func

from tests.api import Api
from tests.market import Market, gid
from tests.statements import Statements
from tests.stores.operations import NEW_STORE, NO_STORE, UPDATE_STORE, not_found, update

WHOLE = {**NEW_STORE, "domain": "tea.example.com", "phone": "+49 30 1234567"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "Coffee House"),
        ("street", "Side Street 2"),
        ("postcode", "20095"),
        ("city", "Hamburg"),
        ("country", "AT"),
        ("domain", "coffee.example.com"),
        ("phone", "+49 40 7654321"),
    ],
)
async def test_only_what_is_given_changes(api: Api, market: Market, field: str, value: str) -> None:
    user = await market.user()
    store = await market.store(user, **WHOLE)

    answer = (await update(api, user, store, **{field: value}))["store"]

    changed = {**WHOLE, field: value}
    assert {name: answer[name] for name in changed} == changed
    await market.reload(store)
    assert {name: getattr(store, name) for name in changed} == changed


@pytest.mark.parametrize("field", ["domain", "phone"])
async def test_null_clears_what_is_optional(api: Api, market: Market, field: str) -> None:
    user = await market.user()
    store = await market.store(user, **WHOLE)

    answer = (await update(api, user, store, **{field: None}))["store"]

    assert {name: answer[name] for name in WHOLE} == {**WHOLE, field: None}


async def test_null_clears_a_postcode_where_the_country_needs_none(api: Api, market: Market) -> None:
    user = await market.user()
    store = await market.store(user, **WHOLE)

    refused = await update(api, user, store, postcode=None)
    moved = await update(api, user, store, postcode=None, country="HK")

    assert [(issue["path"], issue["code"]) for issue in refused["issues"]] == [(["input", "postcode"], "REQUIRED")]
    assert (moved["store"]["postcode"], moved["store"]["country"]) == ("", "HK")


async def test_a_store_without_a_postcode_moves_only_to_where_none_is_needed(api: Api, market: Market) -> None:
    user = await market.user()
    store = await market.store(user, **{**WHOLE, "country": "HK", "postcode": ""})

    refused = await update(api, user, store, country="DE")
    moved = await update(api, user, store, country="AE")
    with_one = await update(api, user, store, country="DE", postcode="10115")

    assert [(issue["path"], issue["code"]) for issue in refused["issues"]] == [(["input", "postcode"], "REQUIRED")]
    assert (moved["store"]["postcode"], moved["store"]["country"]) == ("", "AE")
    assert (with_one["store"]["postcode"], with_one["store"]["country"]) == ("10115", "DE")


@pytest.mark.parametrize("field", ["name", "street", "city", "country"])
async def test_null_is_invalid_for_what_a_store_must_have(api: Api, market: Market, field: str) -> None:
    user = await market.user()
    store = await market.store(user)

    answer = await update(api, user, store, **{field: None})

    assert answer["__typename"] == "InvalidInput"
    assert answer["issues"] == [{"path": ["input", field], "code": "REQUIRED", "message": "must not be null"}]
    assert (await market.reload(store)).version == 1


async def test_the_currency_can_not_be_changed(api: Api, market: Market) -> None:
    user = await market.user()
    store = await market.store(user)

    response = await api.send(UPDATE_STORE, {"input": {"id": gid(store), "currency": "USD"}}, user=user)

    assert response.json()["errors"]
    assert (await market.reload(store)).currency == "EUR"


async def test_every_wrong_field_is_told_at_once_and_nothing_is_changed(api: Api, market: Market) -> None:
    user = await market.user()
    store = await market.store(user, **WHOLE)

    answer = await update(api, user, store, name="", city="Hamburg", country="XX", domain="x", phone="x")

    assert [issue["path"] for issue in answer["issues"]] == [
        ["input", field] for field in ("name", "country", "domain", "phone")
    ]
    assert (await market.reload(store)).city == "Berlin"


async def test_values_are_normalised(api: Api, market: Market) -> None:
    user = await market.user()
    store = await market.store(user)

    answer = (await update(api, user, store, name=" Tea ", country="ch", domain="TEA.example.com"))["store"]

    assert (answer["name"], answer["country"], answer["domain"]) == ("Tea", "CH", "tea.example.com")


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [("name", "Tea House", "STORE_NAME_TAKEN"), ("domain", "TEA.example.com", "STORE_DOMAIN_TAKEN")],
)
async def test_what_another_store_has_is_a_conflict(
    api: Api, market: Market, field: str, value: str, code: str
) -> None:
    user = await market.user()
    await market.store(user, **WHOLE)
    store = await market.store(user, name="Coffee House")

    answer = await update(api, user, store, **{field: value, "city": "Hamburg"})

    assert (answer["__typename"], answer["path"], answer["code"]) == ("Conflict", ["input", field], code)
    await market.reload(store)
    assert (store.name, store.domain, store.city, store.version) == ("Coffee House", None, "Berlin", 1)


async def test_a_store_of_another_user_may_have_the_same_name(api: Api, market: Market) -> None:
    user = await market.user()
    await market.store(name="Tea House")

    assert (await update(api, user, await market.store(user), name="Tea House"))["store"]["name"] == "Tea House"


async def test_a_superuser_who_takes_a_name_competes_with_the_owners_stores(api: Api, market: Market) -> None:
    owner, superuser = await market.user(), await market.superuser()
    await market.store(owner, name="Tea House")
    await market.store(superuser, name="Coffee House")
    store = await market.store(owner)

    assert (await update(api, superuser, store, name="Tea House"))["__typename"] == "Conflict"
    assert (await update(api, superuser, store, name="Coffee House"))["__typename"] == "UpdateStoreSuccess"


async def test_its_own_name_and_domain_are_no_conflict(api: Api, market: Market) -> None:
    user = await market.user()
    store = await market.store(user, **WHOLE)

    answer = (await update(api, user, store, name="Tea House", domain="tea.example.com", city="Hamburg"))["store"]

    assert answer["city"] == "Hamburg"


async def test_every_update_raises_the_version(api: Api, market: Market) -> None:
    user = await market.user()
    store = await market.store(user)

    versions = [(await update(api, user, store, name=name))["store"]["version"] for name in ("A", "B", "C")]

    assert versions == [2, 3, 4]
    assert (await market.reload(store)).version == 4


@pytest.mark.parametrize("changes", [{}, {"expectedVersion": 1}, {"city": "Berlin"}, {"city": " Berlin "}])
async def test_an_update_that_changes_nothing_leaves_the_version(
    api: Api, market: Market, changes: dict[str, Any]
) -> None:
    user = await market.user()
    store = await market.store(user, city="Berlin")

    assert (await update(api, user, store, **changes))["store"]["version"] == 1


async def test_the_expected_version_lets_the_update_through(api: Api, market: Market) -> None:
    user = await market.user()
    store = await market.store(user)

    assert (await update(api, user, store, name="A", expectedVersion=1))["store"]["version"] == 2
    assert (await update(api, user, store, name="B", expectedVersion=2))["store"]["version"] == 3


@pytest.mark.parametrize("expected", [1, 3, 0, -1, 2**31 - 1])
async def test_another_version_than_expected_is_stale_shows_the_current_state_and_changes_nothing(
    api: Api, market: Market, expected: int
) -> None:
    user = await market.user()
    store = await market.store(user, name="Tea House")
    updated = await update(api, user, store, city="Hamburg")

    answer = await update(api, user, store, name="A", expectedVersion=expected)

    assert answer == {
        "__typename": "StaleVersion",
        "currentVersion": 2,
        "current": updated["store"],
        "message": "The object has changed since you read it; its version is now 2.",
    }
    await market.reload(store)
    assert (store.name, store.version) == ("Tea House", 2)


async def test_an_expected_version_of_null_expects_nothing(api: Api, market: Market) -> None:
    user = await market.user()
    store = await market.store(user)

    assert (await update(api, user, store, name="A", expectedVersion=None))["store"]["version"] == 2


async def test_a_store_that_does_not_exist_and_a_deleted_one_are_not_found_alike(api: Api, market: Market) -> None:
    owner = await market.user()
    deleted = await market.store(owner, deleted_at=func.now())

    for viewer in (owner, await market.user(), await market.superuser()):
        for id in (NO_STORE, gid(deleted)):
            assert await update(api, viewer, id, name="A") == not_found(id)


async def test_an_update_is_a_handful_of_statements(api: Api, market: Market, statements: Statements) -> None:
    user = await market.user()
    store = await market.store(user)
    statements.clear()

    await api.data(
        """mutation ($input: UpdateStoreInput!) {
          updateStore(input: $input) { ... on UpdateStoreSuccess { store { name version } storeEdge { cursor } } }
        }""",
        {"input": {"id": gid(store), "name": "A"}},
        user=user,
    )

    assert len(statements) == 4  # who asks, the store, the update, its audit
