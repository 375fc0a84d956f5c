"""Superusers read the audit trail, the latest first; for anyone else it is not there."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from app.db.models import AuditEntry, Store, User
from tests.api import Api
from tests.market import Market, gid
from tests.paths import Paths
from tests.statements import Statements

PAGE = """
query ($first: Int, $after: String, $last: Int, $before: String, $filter: AuditFilter) {
  auditEntries(first: $first, after: $after, last: $last, before: $before, filter: $filter) {
    nodes { id }
    totalCount
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
  }
}
"""
ENTRIES = "{ auditEntries { nodes { id createdAt operation actor { id email } entityId fields requestId } } }"
NODE = "query ($id: ID!) { node(id: $id) { id ... on AuditEntry { operation } } }"


class Trail:
    """Puts lines into the trail."""

    def __init__(self, market: Market) -> None:
        self.market = market

    async def add(self, actor: User | None = None, entity: Store | User | None = None, **values: Any) -> AuditEntry:
        defaults = {"operation": "updateStore", "fields": ["name"], "request_id": uuid4().hex}
        return await self.market.add(
            AuditEntry(
                actor_id=actor.id if actor else None,
                entity_type=type(entity).__name__ if entity else None,
                entity_id=entity.id if entity else None,
                **{**defaults, **values},
            )
        )


@pytest.fixture
def lines(market: Market) -> Trail:
    return Trail(market)


@pytest.fixture
async def superuser(market: Market) -> User:
    return await market.superuser()


async def page(api: Api, superuser: User, **variables: Any) -> Any:
    return (await api.data(PAGE, variables, user=superuser))["auditEntries"]


async def found(api: Api, superuser: User, **filter: Any) -> list[str]:
    """Return the ids of the entries that a filter finds, the latest first."""
    entries = await page(api, superuser, filter=filter)
    assert entries["totalCount"] == len(entries["nodes"])
    return [node["id"] for node in entries["nodes"]]


def ids(*entries: AuditEntry) -> list[str]:
    return [gid(entry) for entry in entries]


async def test_an_entry_tells_who_did_what_when(api: Api, market: Market, lines: Trail, superuser: User) -> None:
    owner = await market.user()
    store = await market.store(owner)
    entry = await lines.add(owner, store, fields=["name", "phone"], request_id="a request")

    data = await api.data(ENTRIES, user=superuser)

    (node,) = data["auditEntries"]["nodes"]
    assert datetime.fromisoformat(node.pop("createdAt")) == entry.created_at
    assert node == {
        "id": gid(entry),
        "operation": "updateStore",
        "actor": {"id": gid(owner), "email": owner.email},
        "entityId": gid(store),
        "fields": ["name", "phone"],
        "requestId": "a request",
    }


async def test_an_entry_of_nobody_and_nothing(api: Api, lines: Trail, superuser: User) -> None:
    await lines.add(operation="logOut", fields=[])

    data = await api.data("{ auditEntries { nodes { actor { id } entityId fields } } }", user=superuser)

    assert data["auditEntries"]["nodes"] == [{"actor": None, "entityId": None, "fields": []}]


async def test_it_is_still_told_who_did_it_when_the_account_is_closed(
    api: Api, market: Market, lines: Trail, superuser: User
) -> None:
    owner = await market.user(full_name="Ada")
    owner.deleted_at = owner.created_at
    await market.add(owner)
    await lines.add(owner)

    data = await api.data("{ auditEntries { nodes { actor { fullName } } } }", user=superuser)

    assert data["auditEntries"]["nodes"] == [{"actor": {"fullName": "Ada"}}]


async def test_it_is_forbidden_to_whoever_is_no_superuser(api: Api, market: Market, lines: Trail) -> None:
    user = await market.user()
    await lines.add(user, user)

    error = await api.error(PAGE, {"filter": {"actorId": gid(user)}}, user=user)

    assert error["code"] == "FORBIDDEN"
    assert (await api.execute(PAGE, user=user))["data"] == {"auditEntries": None}


async def test_nobody_must_log_in_first(api: Api, lines: Trail) -> None:
    await lines.add()

    assert (await api.error(PAGE))["code"] == "UNAUTHENTICATED"
    assert (await api.execute(PAGE))["data"] == {"auditEntries": None}


async def test_the_latest_come_first_in_pages(api: Api, lines: Trail, superuser: User) -> None:
    first, second, third, fourth, fifth = [await lines.add() for _ in range(5)]

    latest = await page(api, superuser, first=2)
    older = await page(api, superuser, first=2, after=latest["pageInfo"]["endCursor"])
    oldest = await page(api, superuser, first=2, after=older["pageInfo"]["endCursor"])
    back = await page(api, superuser, last=2, before=oldest["pageInfo"]["startCursor"])

    shown = [[node["id"] for node in each["nodes"]] for each in (latest, older, oldest, back)]
    assert shown == [ids(fifth, fourth), ids(third, second), ids(first), ids(third, second)]
    assert [each["pageInfo"]["hasNextPage"] for each in (latest, older, oldest)] == [True, True, False]
    assert [each["totalCount"] for each in (latest, older, oldest)] == [5, 5, 5]


async def test_a_page_goes_on_where_it_ended_although_there_are_new_entries(
    api: Api, lines: Trail, superuser: User
) -> None:
    first, second = await lines.add(), await lines.add()
    latest = await page(api, superuser, first=1)
    await lines.add()

    older = await page(api, superuser, first=1, after=latest["pageInfo"]["endCursor"])

    assert [node["id"] for each in (latest, older) for node in each["nodes"]] == ids(second, first)


async def test_filters_find_what_meets_all_of_them(api: Api, market: Market, lines: Trail, superuser: User) -> None:
    ada, bob = await market.user(), await market.user()
    shop, other = await market.store(ada), await market.store(bob)
    one = await lines.add(ada, shop, operation="updateStore")
    two = await lines.add(bob, shop, operation="deleteStore")
    three = await lines.add(ada, other, operation="deleteStore")
    four = await lines.add(None, None, operation="logOut")

    async def find(**filter: Any) -> list[str]:
        return await found(api, superuser, **filter)

    assert await find(actorId=gid(ada)) == ids(three, one)
    assert await find(entityId=gid(shop)) == ids(two, one)
    assert await find(operation="deleteStore") == ids(three, two)
    assert await find(actorId=gid(ada), entityId=gid(shop)) == ids(one)
    assert await find(actorId=gid(ada), operation="deleteStore") == ids(three)
    assert await find(actorId=gid(bob), entityId=gid(shop), operation="updateStore") == []
    assert await find(actorId=None, entityId=None, operation=None) == ids(four, three, two, one)
    assert await find() == ids(four, three, two, one)


@pytest.mark.parametrize("operation", ["deletestore", "delete", "%", "createStore"])
async def test_an_operation_is_found_by_its_whole_name_only(
    api: Api, lines: Trail, superuser: User, operation: str
) -> None:
    await lines.add(operation="deleteStore")

    assert await found(api, superuser, operation=operation) == []


@pytest.mark.parametrize(
    ("created_at", "days"),
    [
        ({"gte": "2026-01-02T12:00:00Z"}, [3, 2]),
        ({"lt": "2026-01-02T12:00:00Z"}, [1]),
        ({"gte": "2026-01-02T13:00:00+01:00", "lt": "2026-01-03T12:00:00Z"}, [2]),
        ({"gte": "2026-01-04T00:00:00Z"}, []),
        ({}, [3, 2, 1]),
        (None, [3, 2, 1]),
    ],
)
async def test_entries_are_found_by_when_they_were_made(
    paths: Paths, lines: Trail, superuser: User, created_at: Any, days: list[int]
) -> None:
    entries = {day: gid(await lines.add(created_at=datetime(2026, 1, day, 12, tzinfo=UTC))) for day in (1, 2, 3)}
    filter = {"createdAt": created_at}

    answers = await paths.ask(PAGE, {"filter": filter}, user=superuser)

    assert [node["id"] for node in answers.data["auditEntries"]["nodes"]] == [entries[day] for day in days]
    assert answers.data["auditEntries"]["totalCount"] == len(days)


async def test_filters_of_entries_hold_together(api: Api, market: Market, lines: Trail, superuser: User) -> None:
    noon = datetime(2026, 1, 2, 12, tzinfo=UTC)
    actor, store = await market.user(), await market.store()
    wanted = await lines.add(actor, store, created_at=noon)
    await lines.add(actor, store, created_at=noon.replace(day=1))
    await lines.add(None, store, created_at=noon)
    await lines.add(actor, None, created_at=noon)

    assert await found(
        api, superuser, actorId=gid(actor), entityId=gid(store), createdAt={"gte": "2026-01-02T00:00:00Z"}
    ) == ids(wanted)


ENTITIES = """
{ auditEntries { nodes { entityId entity {
  __typename id
  ... on Store { name } ... on User { fullName } ... on Product { price { amount } }
  ... on Order { number } ... on StoreOrder { status }
} } } }
"""


async def test_an_entry_shows_what_was_changed(api: Api, market: Market, superuser: User) -> None:
    customer, store = await market.user(full_name="Ada"), await market.store(name="Tea House")
    product = await market.product(store)
    order = await market.order(customer, product)
    part = await market.store_order(order, store)
    shown: dict[str, dict[str, Any]] = {
        gid(customer): {"fullName": "Ada"},
        gid(store): {"name": "Tea House"},
        gid(product): {"price": {"amount": "10.00"}},
        gid(order): {"number": order.number},
        gid(part): {"status": "OPEN"},
    }
    for id in shown:
        type_name, key = id.split("_")
        entry = {"operation": "any", "fields": [], "request_id": "1", "entity_type": type_name, "entity_id": UUID(key)}
        await market.add(AuditEntry(**entry))

    data = await api.data(ENTITIES, user=superuser)

    assert data["auditEntries"]["nodes"] == [
        {"entityId": id, "entity": {"__typename": id.partition("_")[0], "id": id, **fields}}
        for id, fields in reversed(shown.items())
    ]


async def test_what_was_deleted_is_shown_as_long_as_it_can_be_looked_up(
    api: Api, market: Market, lines: Trail, superuser: User
) -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    store = await market.store(deleted_at=moment)
    order = await market.order(await market.user(), deleted_at=moment)
    await lines.add(entity=store)
    await market.add(AuditEntry(operation="any", fields=[], request_id="1", entity_type="Order", entity_id=order.id))
    await market.add(AuditEntry(operation="any", fields=[], request_id="1", entity_type="Cat", entity_id=order.id))
    await lines.add()

    data = await api.data(ENTITIES, user=superuser)

    assert [node["entity"] and node["entity"]["id"] for node in data["auditEntries"]["nodes"]] == [
        None,
        None,
        None,
        gid(store),
    ]


@pytest.mark.parametrize("number", [1, 20])
async def test_the_entities_of_many_entries_are_one_statement_for_each_type(
    api: Api, market: Market, lines: Trail, superuser: User, statements: Statements, number: int
) -> None:
    for _ in range(number):
        await lines.add(entity=await market.store())
        await lines.add(entity=await market.user())
    statements.clear()

    data = await api.data("{ auditEntries(first: 100) { nodes { entity { id } } } }", user=superuser)

    assert all(node["entity"] for node in data["auditEntries"]["nodes"])
    assert len(statements) == 3


async def test_an_id_of_another_type_with_the_same_key_finds_nothing(
    api: Api, market: Market, lines: Trail, superuser: User
) -> None:
    store = await market.store()
    await lines.add(entity=store)

    assert await found(api, superuser, entityId=f"Product_{store.id}") == []


@pytest.mark.parametrize("id", ["", "nonsense", "Store_1", f"_{UUID(int=0)}", f"\0_{UUID(int=0)}"])
@pytest.mark.parametrize("argument", ["actorId", "entityId"])
async def test_what_is_no_id_is_refused(api: Api, superuser: User, argument: str, id: str) -> None:
    error = await api.error(PAGE, {"filter": {argument: id}}, user=superuser)

    assert error["extensions"] == {"code": "BAD_USER_INPUT", "argumentPath": ["filter", argument]}


async def test_only_a_user_can_be_an_actor(api: Api, market: Market, superuser: User) -> None:
    error = await api.error(PAGE, {"filter": {"actorId": gid(await market.store())}}, user=superuser)

    assert error["extensions"] == {"code": "BAD_USER_INPUT", "argumentPath": ["filter", "actorId"]}


async def test_a_superuser_finds_an_entry_by_its_id(api: Api, lines: Trail, superuser: User) -> None:
    entry = await lines.add()

    assert (await api.data(NODE, {"id": gid(entry)}, user=superuser))["node"] == {
        "id": gid(entry),
        "operation": "updateStore",
    }


async def test_for_anyone_else_an_entry_does_not_exist(api: Api, market: Market, lines: Trail) -> None:
    actor = await market.user()
    entry, nothing = gid(await lines.add(actor, actor)), f"AuditEntry_{uuid4()}"
    query = "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }"

    for viewer in (actor, await market.user(), None):
        assert (await api.data(NODE, {"id": entry}, user=viewer))["node"] is None
        assert (await api.data(query, {"ids": [entry, nothing]}, user=viewer))["nodes"] == [None, None]


@pytest.mark.parametrize("number", [1, 20])
async def test_however_many_entries_and_actors_there_are_they_are_two_statements(
    api: Api, market: Market, lines: Trail, superuser: User, statements: Statements, number: int
) -> None:
    for _ in range(number):
        await lines.add(await market.user())
        await lines.add()
    statements.clear()

    data = await api.data("{ auditEntries(first: 50) { nodes { operation actor { fullName } } } }", user=superuser)

    assert len(data["auditEntries"]["nodes"]) == 2 * number
    assert len(statements) == 2
