"""Who is seen, by whom, and how much of them."""

import orjson
import pytest
from sqlalchemy import func

from tests.api import Api
from tests.market import PASSWORD_HASH, Market, gid
from tests.paths import Paths
from tests.statements import Statements
from tests.users.operations import NOBODY

USER = "query ($id: ID!) { user(id: $id) { id email fullName isSuperuser } }"
NODE = "query ($id: ID!) { node(id: $id) { ... on User { id email } } }"
USERS = "query ($first: Int, $after: String) { users(first: $first, after: $after) { nodes { id email } totalCount } }"


async def test_the_viewer_is_who_is_logged_in(api: Api, market: Market) -> None:
    await market.user()
    user = await market.user(email="ada@example.com", full_name="Ada")

    query = "{ viewer { id email fullName isSuperuser createdAt updatedAt } }"
    viewer = (await api.data(query, user=user))["viewer"]

    assert viewer.pop("createdAt") == viewer.pop("updatedAt") == user.created_at.isoformat(timespec="microseconds")
    assert viewer == {"id": gid(user), "email": "ada@example.com", "fullName": "Ada", "isSuperuser": False}


async def test_a_user_is_found_by_id(api: Api, market: Market) -> None:
    user = await market.superuser(full_name="Ada")

    assert await api.data(USER, {"id": gid(user)}) == {
        "user": {"id": gid(user), "email": None, "fullName": "Ada", "isSuperuser": True}
    }


async def test_a_deleted_user_is_answered_like_one_who_does_not_exist(api: Api, market: Market) -> None:
    deleted = await market.user(deleted_at=func.now())

    for viewer in (None, await market.user(), deleted):
        for id in (gid(deleted), NOBODY):
            assert await api.data(USER, {"id": id}, user=viewer) == {"user": None}
            assert await api.data(NODE, {"id": id}, user=viewer) == {"node": None}


async def test_a_superuser_still_reaches_a_deleted_user(api: Api, market: Market) -> None:
    deleted, superuser = await market.user(deleted_at=func.now()), await market.superuser()

    found = {"id": gid(deleted), "email": deleted.email}
    assert (await api.data(USER, {"id": gid(deleted)}, user=superuser))["user"]["id"] == gid(deleted)
    assert (await api.data(NODE, {"id": gid(deleted)}, user=superuser))["node"] == found


@pytest.mark.parametrize("id", ["", "nonsense", "User_1", "Store_00000000-0000-7000-8000-000000000000"])
async def test_what_is_not_the_id_of_a_user_is_bad_input(api: Api, id: str) -> None:
    error = await api.error(USER, {"id": id})

    assert error["extensions"] == {"code": "BAD_USER_INPUT", "argumentPath": ["id"]}


async def test_an_email_is_seen_only_by_oneself_and_superusers(api: Api, market: Market) -> None:
    user, other, superuser = await market.user(), await market.user(), await market.superuser()

    for viewer, email in ((user, user.email), (superuser, user.email), (other, None), (None, None)):
        data = await api.data(USER, {"id": gid(user)}, user=viewer)
        assert data["user"]["email"] == email


async def test_an_email_is_not_seen_through_a_relation_either(api: Api, market: Market) -> None:
    owner, other = await market.user(), await market.user()
    await market.store(owner)

    for viewer, email in ((owner, owner.email), (other, None), (None, None)):
        data = await api.data("{ stores { nodes { owner { email } } } }", user=viewer)
        assert data["stores"]["nodes"] == [{"owner": {"email": email}}]


async def test_the_password_hash_is_no_field_and_in_no_answer(api: Api, market: Market) -> None:
    superuser = await market.superuser()

    for field in ("password", "passwordHash", "password_hash"):
        response = await api.send(f"{{ viewer {{ {field} }} }}", user=superuser)
        assert response.json()["errors"][0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
        assert PASSWORD_HASH not in response.text


async def test_reading_a_user_does_not_read_the_password_hash(api: Api, market: Market, statements: Statements) -> None:
    user = await market.superuser()
    statements.clear()

    await api.data("{ viewer { id } users { nodes { id } } }", user=user)

    assert len(statements) == 2
    assert not any("password_hash" in statement for statement in statements)


async def test_users_are_listed_for_a_superuser_the_oldest_first_without_deleted_ones(api: Api, market: Market) -> None:
    user, superuser = await market.user(), await market.superuser()
    await market.user(deleted_at=func.now())

    data = await api.data(USERS, user=superuser)

    assert data["users"] == {
        "nodes": [{"id": gid(user), "email": user.email}, {"id": gid(superuser), "email": superuser.email}],
        "totalCount": 2,
    }


async def test_users_come_in_pages(api: Api, market: Market) -> None:
    users = [await market.user(), await market.user(), await market.superuser()]
    page = (
        "query ($after: String) { users(first: 2, after: $after) { nodes { id } pageInfo { endCursor hasNextPage } } }"
    )

    first = (await api.data(page, user=users[-1]))["users"]
    second = (await api.data(page, {"after": first["pageInfo"]["endCursor"]}, user=users[-1]))["users"]

    assert [node["id"] for node in first["nodes"] + second["nodes"]] == [gid(user) for user in users]
    assert (first["pageInfo"]["hasNextPage"], second["pageInfo"]["hasNextPage"]) == (True, False)


async def test_users_are_not_listed_for_anyone_else(api: Api, market: Market, statements: Statements) -> None:
    user = await market.user()
    statements.clear()

    assert (await api.error(USERS, user=user))["code"] == "FORBIDDEN"
    assert (await api.error(USERS))["code"] == "UNAUTHENTICATED"
    assert len(statements) == 0


@pytest.mark.parametrize(("who", "codes"), [("a user", ["FORBIDDEN"]), ("nobody", ["UNAUTHENTICATED"] * 2)])
async def test_a_list_that_is_refused_is_null_beside_what_is_shown(
    paths: Paths, market: Market, who: str, codes: list[str]
) -> None:
    user = await market.user()
    await market.store(user)

    answers = await paths.ask(
        "{ orders { totalCount } users { totalCount } stores { totalCount } }", user=user if who == "a user" else None
    )

    assert answers.data == {
        "orders": {"totalCount": 0} if who == "a user" else None,
        "users": None,
        "stores": {"totalCount": 1},
    }
    assert [error["extensions"]["code"] for error in orjson.loads(answers.compiled)["errors"]] == codes


async def test_a_user_has_their_own_stores_the_oldest_first_without_deleted_ones(api: Api, market: Market) -> None:
    user = await market.user()
    stores = [await market.store(user, name="B"), await market.store(user, name="A")]
    await market.store(user, deleted_at=func.now())
    await market.store()
    query = "query ($id: ID!) { user(id: $id) { stores { nodes { id } totalCount } } }"

    for viewer in (None, user, await market.superuser()):
        data = await api.data(query, {"id": gid(user)}, user=viewer)
        assert data["user"]["stores"] == {"nodes": [{"id": gid(store)} for store in stores], "totalCount": 2}


async def test_the_stores_of_many_users_are_one_statement(api: Api, market: Market, statements: Statements) -> None:
    superuser = await market.superuser()
    users = [await market.user() for _ in range(3)]
    stores = [await market.store(user) for user in users for _ in range(3)]
    statements.clear()

    data = await api.data("{ users { nodes { stores(first: 2) { nodes { id } } } } }", user=superuser)

    found = [[node["id"] for node in user["stores"]["nodes"]] for user in data["users"]["nodes"]]
    assert found == [[], *([gid(store) for store in stores[at : at + 2]] for at in (0, 3, 6))]
    assert len(statements) == 2


async def test_orders_are_seen_only_by_oneself_and_superusers(paths: Paths, market: Market) -> None:
    user, other, superuser = await market.user(), await market.user(), await market.superuser()
    order = await market.order(user, await market.product())
    query = "query ($id: ID!) { user(id: $id) { orders { nodes { id } edges { node { id } } totalCount } } }"
    node = {"id": gid(order)}
    whole = {"nodes": [node], "edges": [{"node": node}], "totalCount": 1}

    for viewer, seen in ((user, True), (superuser, True), (other, False), (None, False)):
        answers = await paths.ask(query, {"id": gid(user)}, user=viewer)
        assert answers.data == {"user": {"orders": whole if seen else None}}


async def test_a_seller_does_not_see_the_orders_of_a_customer(api: Api, market: Market) -> None:
    seller, customer = await market.user(), await market.user()
    await market.order(customer, await market.product(await market.store(seller)))
    query = "query ($id: ID!) { user(id: $id) { orders { totalCount } } }"

    data = await api.data(query, {"id": gid(customer)}, user=seller)

    assert data == {"user": {"orders": None}}


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("ada", ["Ada Lovelace", "Grace Hopper"]),
        ("LOVE", ["Ada Lovelace"]),
        ("love ada", ["Ada Lovelace"]),
        ("zoe", ["Zoë Nuñez"]),
        ("nunez", ["Zoë Nuñez"]),
        ("grace.hopper@navy.example", ["Grace Hopper"]),
        ("navy", ["Grace Hopper"]),
        ("hopper", ["Grace Hopper"]),
        ("ovelace", []),
        ("gone", []),
        ("  ", ["Ada Lovelace", "Zoë Nuñez", "Grace Hopper", "Root"]),
        (None, ["Ada Lovelace", "Zoë Nuñez", "Grace Hopper", "Root"]),
    ],
)
async def test_users_are_found_by_words_of_their_name_and_email_the_oldest_first(
    paths: Paths, market: Market, search: str | None, found: list[str]
) -> None:
    await market.user(full_name="Ada Lovelace", email="countess@example.com")
    await market.user(full_name="Zoë Nuñez", email="zn@example.com")
    await market.user(full_name="Grace Hopper", email="grace.hopper@navy.example.ada.example")
    await market.user(full_name="Gone Ada", deleted_at=func.now())
    superuser = await market.superuser(full_name="Root", email="root@example.org")
    query = "query ($filter: UserFilter) { users(filter: $filter) { nodes { fullName } totalCount } }"

    answers = await paths.ask(query, {"filter": {"search": search}}, user=superuser)

    assert answers.data["users"] == {"nodes": [{"fullName": name} for name in found], "totalCount": len(found)}


async def test_found_users_are_walked_through_in_pages(paths: Paths, market: Market) -> None:
    superuser = await market.superuser(full_name="Root", email="root@example.org")
    users = [await market.user(full_name="Ada") for _ in range(5)]
    query = """
    query ($after: String) {
      users(filter: { search: "ada" }, first: 2, after: $after) { nodes { id } pageInfo { endCursor } }
    }
    """
    walked: list[str] = []
    after = None

    for _ in range(3):
        page = (await paths.ask(query, {"after": after}, user=superuser)).data["users"]
        walked += [node["id"] for node in page["nodes"]]
        after = page["pageInfo"]["endCursor"]

    assert walked == [gid(user) for user in users]


@pytest.mark.parametrize(("search", "reason"), [("x" * 501, "at most 500"), ("nul\0", "control characters")])
async def test_what_cannot_be_searched_for_is_refused(api: Api, market: Market, search: str, reason: str) -> None:
    query = "query ($filter: UserFilter) { users(filter: $filter) { totalCount } }"

    error = await api.error(query, {"filter": {"search": search}}, user=await market.superuser())

    assert error["extensions"] == {"code": "BAD_USER_INPUT", "argumentPath": ["filter", "search"]}
    assert reason in error["message"]


@pytest.mark.parametrize(("logged_in", "code"), [(True, "FORBIDDEN"), (False, "UNAUTHENTICATED")])
async def test_nobody_but_a_superuser_searches_for_users(
    paths: Paths, market: Market, logged_in: bool, code: str
) -> None:
    query = '{ users(filter: { search: "user" }) { nodes { id } } }'

    answers = await paths.ask(query, user=await market.user() if logged_in else None)

    assert answers.was_compiled
    for body in (answers.resolver, answers.compiled):
        result = orjson.loads(body)
        assert result["data"] == {"users": None}
        assert [error["extensions"]["code"] for error in result["errors"]] == [code]
