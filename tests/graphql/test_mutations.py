"""A mutation is one transaction, in which a root field that is null has done nothing, and the others stand."""

from decimal import Decimal

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.models import AuditEntry, IdempotencyKey, Product, Session, Store, User
from tests.api import Api
from tests.market import PASSWORD, PASSWORD_HASH, Market, gid
from tests.orders.operations import number_of
from tests.statements import Statements
from tests.triggers import create_trigger

CREATE_THREE = """
mutation ($store: ID!, $second: CreateProductInput!) {
  first: createProduct(input: { storeId: $store, name: "Bread", price: 2 }) { __typename }
  second: createProduct(input: $second) { __typename }
  third: createProduct(input: { storeId: $store, name: "Wine", price: 9 }) { __typename }
}
"""


async def names_of(connection: AsyncConnection, model: type[Product] | type[Store] = Product) -> list[str]:
    """Return the names in the table, in the order in which their rows were made."""
    return list(await connection.scalars(model.__table__.select().with_only_columns(model.name).order_by(model.id)))


async def test_fields_around_one_that_fails_stand(api: Api, market: Market, connection: AsyncConnection) -> None:
    owner = await market.user()
    store = await market.store(owner)
    second = {"storeId": gid(store), "name": "Bread", "price": 3}

    data = await api.data(CREATE_THREE, {"store": gid(store), "second": second}, user=owner)

    assert {alias: payload["__typename"] for alias, payload in data.items()} == {
        "first": "CreateProductSuccess",
        "second": "Conflict",
        "third": "CreateProductSuccess",
    }
    assert await names_of(connection) == ["Bread", "Wine"]


async def test_a_field_that_fails_after_it_wrote_leaves_nothing_behind(api: Api, market: Market) -> None:
    user, other = await market.user(), await market.user()
    session = await market.add(Session(user_id=user.id))
    mutation = """
    mutation ($id: ID!, $old: String!, $taken: String!) {
      first: updateUser(input: { id: $id, fullName: "Ada" }) { __typename }
      second: updateUser(
        input: { id: $id, currentPassword: $old, email: $taken, password: "correct horse 2" }
      ) { __typename }
      third: updateUser(input: { id: $id, fullName: "Grace" }) { __typename }
    }
    """

    data = await api.data(mutation, {"id": gid(user), "old": PASSWORD, "taken": other.email}, user=user)

    # a new password has ended every other session by the time that the email turns out to be taken
    assert [payload["__typename"] for payload in data.values()] == [
        "UpdateUserSuccess",
        "Conflict",
        "UpdateUserSuccess",
    ]
    assert (await market.reload(session)).ended_at is None
    await market.session.refresh(user, ["full_name", "email", "password_hash"])
    assert (user.full_name, user.email) == ("Grace", "user1@example.com")
    assert user.password_hash == PASSWORD_HASH


async def test_what_a_failed_field_had_set_is_not_written_by_the_next(api: Api, market: Market) -> None:
    owner = await market.user()
    store = await market.store(owner, city="Berlin")
    taken = await market.store(owner)
    mutation = """
    mutation ($id: ID!, $taken: String!) {
      failed: updateStore(input: { id: $id, name: $taken, city: "Paris" }) { __typename }
      next: updateStore(input: { id: $id, phone: "+49 30 1234567" }) {
        ... on UpdateStoreSuccess { store { city version } }
      }
    }
    """

    data = await api.data(mutation, {"id": gid(store), "taken": taken.name}, user=owner)

    assert data == {"failed": {"__typename": "Conflict"}, "next": {"store": {"city": "Berlin", "version": 2}}}
    await market.reload(store)
    assert (store.city, store.phone, store.version) == ("Berlin", "+49 30 1234567", 2)


STANDS = {"__typename": "CreateProductSuccess"}


async def test_a_field_that_is_forbidden_is_null_and_the_others_stand(
    api: Api, market: Market, connection: AsyncConnection
) -> None:
    owner = await market.user()
    second = {"storeId": gid(await market.store()), "name": "Cake", "price": 3}

    result = await api.execute(CREATE_THREE, {"store": gid(await market.store(owner)), "second": second}, user=owner)

    assert result["data"] == {"first": STANDS, "second": None, "third": STANDS}
    assert [(error["path"], error["extensions"]["code"]) for error in result["errors"]] == [(["second"], "FORBIDDEN")]
    assert await names_of(connection) == ["Bread", "Wine"]


async def test_a_field_with_a_malformed_id_is_null_and_the_others_stand(
    api: Api, market: Market, connection: AsyncConnection
) -> None:
    owner = await market.user()
    second = {"storeId": "Store_1", "name": "Cake", "price": 3}

    result = await api.execute(CREATE_THREE, {"store": gid(await market.store(owner)), "second": second}, user=owner)

    assert result["data"] == {"first": STANDS, "second": None, "third": STANDS}
    (error,) = result["errors"]
    assert error["path"] == ["second"]
    assert error["extensions"] == {"code": "BAD_USER_INPUT", "argumentPath": ["input", "storeId"]}
    assert await names_of(connection) == ["Bread", "Wine"]


FAIL_ON_CAKE = """
IF EXISTS (SELECT FROM products WHERE id = NEW.entity_id AND name = 'Cake') THEN RAISE 'the oven is out'; END IF
"""


@pytest.mark.parametrize("alone", [True, False])
async def test_what_was_not_foreseen_undoes_its_field_and_no_other(
    api: Api, market: Market, connection: AsyncConnection, statements: Statements, alone: bool
) -> None:
    owner = await market.user()
    store = gid(await market.store(owner))
    second = {"storeId": store, "name": "Cake", "price": 3}
    one = "mutation ($second: CreateProductInput!) { second: createProduct(input: $second) { __typename } }"
    await create_trigger(connection, "INSERT ON audit_entries", FAIL_ON_CAKE)
    statements.clear()

    result = await api.execute(one if alone else CREATE_THREE, {"store": store, "second": second}, user=owner)

    assert result["data"] == {"second": None} if alone else {"first": STANDS, "second": None, "third": STANDS}
    assert [(error["path"], error["extensions"]["code"]) for error in result["errors"]] == [
        (["second"], "INTERNAL_SERVER_ERROR")
    ]
    assert sum("INSERT INTO products" in statement for statement in statements) == (1 if alone else 3)
    assert await names_of(connection) == ([] if alone else ["Bread", "Wine"])
    assert await number_of(connection, AuditEntry) == (0 if alone else 2)


async def test_a_payload_of_which_a_part_cannot_be_read_undoes_nothing(
    api: Api, market: Market, connection: AsyncConnection
) -> None:
    owner = await market.user()
    mutation = """
    mutation ($store: ID!) {
      createProduct(input: { storeId: $store, name: "Bread", price: 2 }) {
        __typename
        ... on CreateProductSuccess {
          product { store { products(first: 1000) { nodes { id } } } }
          productEdge { node { name } }
        }
      }
    }
    """

    result = await api.execute(mutation, {"store": gid(await market.store(owner))}, user=owner)

    edge = {"node": {"name": "Bread"}}
    assert result["data"] == {"createProduct": {**STANDS, "product": None, "productEdge": edge}}
    (error,) = result["errors"]
    assert error["path"] == ["createProduct", "product", "store", "products"]
    assert error["message"].startswith("`first` ")
    assert error["extensions"] == {"code": "PAYLOAD_UNREADABLE", "cause": "BAD_USER_INPUT", "argumentPath": ["first"]}
    assert await names_of(connection) == ["Bread"]


LOSE_THE_STORE = """
SET LOCAL session_replication_role TO replica;  -- no foreign key holds it
DELETE FROM stores WHERE id = NEW.store_id
"""


async def test_a_payload_that_fails_unforeseen_undoes_nothing(
    api: Api, market: Market, connection: AsyncConnection
) -> None:
    owner = await market.user()
    mutation = """
    mutation ($store: ID!) {
      createProduct(input: { storeId: $store, name: "Bread", price: 2 }) {
        ... on CreateProductSuccess { product { name store { id } } }
      }
    }
    """
    store = gid(await market.store(owner))
    await create_trigger(connection, "INSERT ON products", LOSE_THE_STORE)

    response = await api.send(mutation, {"store": store}, user=owner)

    result = response.json()
    assert result["data"] == {"createProduct": {"product": None}}
    (error,) = result["errors"]
    assert error["path"] == ["createProduct", "product", "store"]
    request_id = response.headers["X-Request-ID"]
    assert error["extensions"] == {
        "code": "PAYLOAD_UNREADABLE",
        "cause": "INTERNAL_SERVER_ERROR",
        "requestId": request_id,
    }
    assert "non-nullable" not in response.text
    assert await names_of(connection) == ["Bread"]


async def test_a_failure_that_cannot_be_read_is_null_though_nothing_was_done(api: Api, market: Market) -> None:
    """`StaleVersion.current` is never null, so the whole result is; its error has the code of what failed."""
    owner = await market.user()
    product = await market.product(await market.store(owner))
    mutation = """
    mutation ($id: ID!) {
      stale: updateProduct(input: { id: $id, price: 3, expectedVersion: 7 }) {
        ... on StaleVersion { current { ... on Product { store { products(first: 1000) { totalCount } } } } }
      }
      next: updateProduct(input: { id: $id, price: 4 }) { __typename }
    }
    """

    result = await api.execute(mutation, {"id": gid(product)}, user=owner)

    assert result["data"] == {"stale": None, "next": {"__typename": "UpdateProductSuccess"}}
    (error,) = result["errors"]
    assert error["path"] == ["stale", "current", "store", "products"]
    assert error["extensions"] == {"code": "BAD_USER_INPUT", "argumentPath": ["first"]}
    await market.reload(product)
    assert (product.price, product.version) == (Decimal(4), 2)


LEFT_LOADING = """
mutation ($store: ID!) {
  first: updateStore(input: { id: $store, city: "Paris" }) {
    ... on UpdateStoreSuccess {
      store {
        orders(first: 2) { nodes { items { product { store { owner { fullName } } } } } totalCount }
        owner { stores(first: 2) { nodes { id owner { orders { totalCount } } } totalCount } }
        FAILS
        products(first: 2) { nodes { store { owner { fullName } } } totalCount }
      }
    }
  }
  second: updateStore(input: { id: $store, city: "Rome" }) {
    ... on UpdateStoreSuccess { store { city owner { fullName } } }
  }
}
"""


@pytest.mark.parametrize(
    "fails",
    [
        "failing: products(first: 101) { nodes { id } }",
        "failing: products(first: 1) { nodes { store { products(first: 101) { nodes { id } } } } }",
    ],
    ids=["at once", "while others load"],
)
async def test_what_a_payload_that_failed_had_begun_to_load_does_not_meet_the_next_field(
    committed_api: Api, committed_market: Market, fails: str
) -> None:
    owner = await committed_market.user()
    store = await committed_market.store(owner)
    await committed_market.order(owner, await committed_market.product(store))
    mutation = LEFT_LOADING.replace("FAILS", fails)

    for _ in range(5):
        result = await committed_api.execute(mutation, {"store": gid(store)}, user=owner)

        assert [error["path"][:3] for error in result["errors"]] == [["first", "store", "failing"]]
        assert result["data"] == {
            "first": {"store": None},
            "second": {"store": {"city": "Rome", "owner": {"fullName": owner.full_name}}},
        }
    assert (await committed_market.reload(store)).version == 11


@pytest.mark.parametrize("key", ["short", "a-key-of-another-request"])
async def test_no_field_of_a_request_whose_key_is_refused_is_executed(
    api: Api, market: Market, connection: AsyncConnection, key: str
) -> None:
    owner = await market.user()
    store = gid(await market.store(owner))
    another = (
        'mutation ($store: ID!) { createProduct(input: { storeId: $store, name: "Tea", price: 1 }) { __typename } }'
    )
    second = {"storeId": store, "name": "Cake", "price": 3}
    headers = {"Idempotency-Key": key}
    assert (await api.send(another, {"store": store}, user=owner, headers={"Idempotency-Key": key * 2})).json()["data"]
    if key != "short":
        await api.send(another, {"store": store}, user=owner, headers=headers)
    before = await names_of(connection)

    result = (await api.send(CREATE_THREE, {"store": store, "second": second}, user=owner, headers=headers)).json()

    assert result["data"] is None
    assert [error["extensions"] for error in result["errors"]] == [
        {"code": "BAD_USER_INPUT", "argumentPath": ["Idempotency-Key"]}
    ]
    assert await names_of(connection) == before


async def test_a_key_keeps_the_response_of_fields_of_which_one_stands(
    api: Api, market: Market, connection: AsyncConnection
) -> None:
    owner = await market.user()
    second = {"storeId": gid(await market.store()), "name": "Cake", "price": 3}
    variables = {"store": gid(await market.store(owner)), "second": second}

    first, again = [
        await api.send(CREATE_THREE, variables, user=owner, headers={"Idempotency-Key": "three-products"})
        for _ in range(2)
    ]

    assert first.json()["data"] == {"first": STANDS, "second": None, "third": STANDS}
    assert (again.content, again.headers["Idempotency-Replayed"]) == (first.content, "true")
    assert await names_of(connection) == ["Bread", "Wine"]


async def test_a_key_keeps_the_response_of_a_field_whose_payload_cannot_be_read(
    api: Api, market: Market, connection: AsyncConnection
) -> None:
    owner = await market.user()
    store = await market.store(owner)
    mutation = """
    mutation ($store: ID!) {
      createProduct(input: { storeId: $store, name: "Bread", price: 2 }) {
        ... on CreateProductSuccess { product { store { products(first: 1000) { nodes { id } } } } }
      }
    }
    """

    first, again = [
        await api.send(mutation, {"store": gid(store)}, user=owner, headers={"Idempotency-Key": "bread-of-today"})
        for _ in range(2)
    ]

    assert first.json()["data"] == {"createProduct": {"product": None}}
    assert (again.content, again.headers["Idempotency-Replayed"]) == (first.content, "true")
    assert await names_of(connection) == ["Bread"]


async def test_a_key_of_a_request_whose_every_field_is_null_stays_free(
    api: Api, market: Market, connection: AsyncConnection
) -> None:
    owner, headers = await market.user(), {"Idempotency-Key": "three-products"}
    forbidden = gid(await market.store())
    second = {"storeId": forbidden, "name": "Cake", "price": 3}

    refused = await api.send(CREATE_THREE, {"store": forbidden, "second": second}, user=owner, headers=headers)

    assert refused.json()["data"] == {"first": None, "second": None, "third": None}
    assert await number_of(connection, IdempotencyKey) == 0
    corrected = {"store": gid(await market.store(owner)), "second": second}
    done = await api.send(CREATE_THREE, corrected, user=owner, headers=headers)
    assert done.json()["data"] == {"first": STANDS, "second": None, "third": STANDS}


async def test_fields_run_one_after_the_other(api: Api, market: Market, connection: AsyncConnection) -> None:
    owner = await market.user()
    aliases = " ".join(
        f'a{number}: createProduct(input: {{ storeId: $store, name: "{number}", price: 1 }}) {{ __typename }}'
        for number in range(10)
    )

    await api.data(f"mutation ($store: ID!) {{ {aliases} }}", {"store": gid(await market.store(owner))}, user=owner)

    assert await names_of(connection) == [str(number) for number in range(10)]


async def test_a_payload_sees_what_its_field_and_those_before_it_wrote(api: Api, market: Market) -> None:
    owner = await market.user()
    store = await market.store(owner)
    payload = "... on CreateProductSuccess { product { store { products { totalCount nodes { name } } } } }"
    mutation = f"""
    mutation ($store: ID!) {{
      first: createProduct(input: {{ storeId: $store, name: "Bread", price: 2 }}) {{ {payload} }}
      second: createProduct(input: {{ storeId: $store, name: "Wine", price: 9 }}) {{ {payload} }}
    }}
    """

    data = await api.data(mutation, {"store": gid(store)}, user=owner)

    bread, wine = {"name": "Bread"}, {"name": "Wine"}
    assert data["first"]["product"]["store"]["products"] == {"totalCount": 1, "nodes": [bread]}
    assert data["second"]["product"]["store"]["products"] == {"totalCount": 2, "nodes": [bread, wine]}


async def test_a_later_field_does_not_see_what_an_earlier_one_had_loaded(api: Api, market: Market) -> None:
    owner = await market.user()
    store = await market.store(owner, name="Old")
    product = await market.product(store)
    mutation = """
    mutation ($store: ID!, $product: ID!) {
      before: updateProduct(input: { id: $product, price: 2 }) { ...store }
      rename: updateStore(input: { id: $store, name: "New" }) { ... on UpdateStoreSuccess { store { name } } }
      after: updateProduct(input: { id: $product, price: 3 }) { ...store }
    }
    fragment store on UpdateProductSuccess { product { store { name version } } }
    """

    data = await api.data(mutation, {"store": gid(store), "product": gid(product)}, user=owner)

    assert data == {
        "before": {"product": {"store": {"name": "Old", "version": 1}}},
        "rename": {"store": {"name": "New"}},
        "after": {"product": {"store": {"name": "New", "version": 2}}},
    }


async def test_a_field_reads_the_stock_that_an_earlier_one_took(api: Api, market: Market) -> None:
    owner = await market.user()
    product = await market.product(await market.store(owner), stock=3)
    take = "placeOrder(input: { items: [{ productId: $id, quantity: 2 }] })"
    mutation = f"""
    mutation ($id: ID!) {{
      before: updateProduct(input: {{ id: $id, price: 2 }}) {{ ...stock }}
      order: {take} {{
        ... on PlaceOrderSuccess {{ order {{ items {{ unitPrice {{ amount }} product {{ stock }} }} }} }}
      }}
      again: {take} {{ ... on InsufficientStock {{ shortages {{ available product {{ stock }} }} }} }}
      after: updateProduct(input: {{ id: $id, price: 4 }}) {{ ...stock }}
    }}
    fragment stock on UpdateProductSuccess {{ product {{ stock version }} }}
    """

    data = await api.data(mutation, {"id": gid(product)}, user=owner)

    assert data == {
        "before": {"product": {"stock": 3, "version": 2}},
        "order": {"order": {"items": [{"unitPrice": {"amount": "2.00"}, "product": {"stock": 1}}]}},
        "again": {"shortages": [{"available": 1, "product": {"stock": 1}}]},
        "after": {"product": {"stock": 1, "version": 3}},  # an order changes the stock and not the version
    }
    assert (await market.reload(product)).stock == 1


async def test_a_mutation_is_refused_whole_before_any_field_ran(
    api: Api, market: Market, statements: Statements
) -> None:
    owner: User = await market.user()
    mutation = """
    mutation {
      createStore(
        input: { name: "A", street: "B", postcode: "1", city: "C", country: "DE", currency: "EUR" }
      ) { __typename }
      deleteStore(input: null) { __typename }
    }
    """

    statements.clear()

    error = await api.error(mutation, user=owner)

    assert error["code"] == "GRAPHQL_VALIDATION_FAILED"
    assert statements == []
