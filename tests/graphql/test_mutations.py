"""A mutation is one transaction: a root field that fails leaves nothing behind while the others stand, and what is
not a typed failure undoes them all."""

from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.models import Product, Session, Store, User
from tests.api import Api
from tests.market import PASSWORD_HASH, Market, gid
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
        "first": "Product",
        "second": "Conflict",
        "third": "Product",
    }
    assert await names_of(connection) == ["Bread", "Wine"]


async def test_a_field_that_fails_after_it_wrote_leaves_nothing_behind(api: Api, market: Market) -> None:
    user, other = await market.user(), await market.user()
    session = await market.add(Session(user_id=user.id))
    mutation = """
    mutation ($id: ID!, $taken: String!) {
      first: updateUser(input: { id: $id, fullName: "Ada" }) { __typename }
      second: updateUser(input: { id: $id, email: $taken, password: "correct horse 2" }) { __typename }
      third: updateUser(input: { id: $id, email: "ada@example.com" }) { __typename }
    }
    """

    data = await api.data(mutation, {"id": gid(user), "taken": other.email}, user=user)

    # a new password has ended every session by the time that the email turns out to be taken
    assert [payload["__typename"] for payload in data.values()] == ["User", "Conflict", "User"]
    assert (await market.reload(session)).ended_at is None
    await market.session.refresh(user, ["full_name", "email", "password_hash"])
    assert (user.full_name, user.email) == ("Ada", "ada@example.com")
    assert user.password_hash == PASSWORD_HASH


async def test_what_a_failed_field_had_set_is_not_written_by_the_next(api: Api, market: Market) -> None:
    owner = await market.user()
    store = await market.store(owner, city="Berlin")
    taken = await market.store(owner)
    mutation = """
    mutation ($id: ID!, $taken: String!) {
      failed: updateStore(input: { id: $id, name: $taken, city: "Paris" }) { __typename }
      next: updateStore(input: { id: $id, phone: "+49 30 1234567" }) { ... on Store { city version } }
    }
    """

    data = await api.data(mutation, {"id": gid(store), "taken": taken.name}, user=owner)

    assert data == {"failed": {"__typename": "Conflict"}, "next": {"city": "Berlin", "version": 2}}
    await market.reload(store)
    assert (store.city, store.phone, store.version) == ("Berlin", "+49 30 1234567", 2)


async def test_a_field_that_is_forbidden_undoes_the_whole_mutation(
    api: Api, market: Market, connection: AsyncConnection
) -> None:
    owner = await market.user()
    second = {"storeId": gid(await market.store()), "name": "Cake", "price": 3}

    result = await api.execute(CREATE_THREE, {"store": gid(await market.store(owner)), "second": second}, user=owner)

    assert result["data"] is None
    assert [(error["path"], error["extensions"]["code"]) for error in result["errors"]] == [(["second"], "FORBIDDEN")]
    assert await number_of(connection, Product) == 0


async def test_a_malformed_id_undoes_the_whole_mutation(api: Api, market: Market, connection: AsyncConnection) -> None:
    owner = await market.user()
    second = {"storeId": "Store_1", "name": "Cake", "price": 3}

    error = await api.error(CREATE_THREE, {"store": gid(await market.store(owner)), "second": second}, user=owner)

    assert (error["code"], error["extensions"]["argument"]) == ("BAD_USER_INPUT", "input.storeId")
    assert await number_of(connection, Product) == 0


async def test_a_payload_that_cannot_be_read_undoes_the_whole_mutation(
    api: Api, market: Market, connection: AsyncConnection
) -> None:
    owner = await market.user()
    mutation = """
    mutation ($store: ID!) {
      createProduct(input: { storeId: $store, name: "Bread", price: 2 }) {
        ... on Product { store { products(first: 1000) { nodes { id } } } }
      }
    }
    """

    result = await api.execute(mutation, {"store": gid(await market.store(owner))}, user=owner)

    assert result["data"] is None
    assert [error["extensions"]["code"] for error in result["errors"]] == ["BAD_USER_INPUT"]
    assert await number_of(connection, Product) == 0


async def test_what_was_not_foreseen_undoes_the_whole_mutation(
    api: Api, market: Market, connection: AsyncConnection, statements: Statements
) -> None:
    owner = await market.user()
    store = gid(await market.store(owner))
    second = {"storeId": store, "name": "Cake", "price": 3}
    await create_trigger(connection, "INSERT ON products", "IF NEW.name = 'Cake' THEN RAISE 'the oven is out'; END IF")
    statements.clear()

    result = await api.execute(CREATE_THREE, {"store": store, "second": second}, user=owner)

    assert result["data"] is None
    assert [error["extensions"]["code"] for error in result["errors"]] == ["INTERNAL_SERVER_ERROR"]
    assert sum("INSERT INTO products" in statement for statement in statements) == 2  # the third was not begun
    assert await names_of(connection) == []


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
    payload = "... on Product { store { products { totalCount nodes { name } } } }"
    mutation = f"""
    mutation ($store: ID!) {{
      first: createProduct(input: {{ storeId: $store, name: "Bread", price: 2 }}) {{ {payload} }}
      second: createProduct(input: {{ storeId: $store, name: "Wine", price: 9 }}) {{ {payload} }}
    }}
    """

    data = await api.data(mutation, {"store": gid(store)}, user=owner)

    bread, wine = {"name": "Bread"}, {"name": "Wine"}
    assert data["first"]["store"]["products"] == {"totalCount": 1, "nodes": [bread]}
    assert data["second"]["store"]["products"] == {"totalCount": 2, "nodes": [bread, wine]}


async def test_a_later_field_does_not_see_what_an_earlier_one_had_loaded(api: Api, market: Market) -> None:
    owner = await market.user()
    store = await market.store(owner, name="Old")
    product = await market.product(store)
    mutation = """
    mutation ($store: ID!, $product: ID!) {
      before: updateProduct(input: { id: $product, price: 2 }) { ... on Product { store { name version } } }
      rename: updateStore(input: { id: $store, name: "New" }) { ... on Store { name } }
      after: updateProduct(input: { id: $product, price: 3 }) { ... on Product { store { name version } } }
    }
    """

    data = await api.data(mutation, {"store": gid(store), "product": gid(product)}, user=owner)

    assert data == {
        "before": {"store": {"name": "Old", "version": 1}},
        "rename": {"name": "New"},
        "after": {"store": {"name": "New", "version": 2}},
    }


async def test_a_field_reads_the_stock_that_an_earlier_one_took(api: Api, market: Market) -> None:
    owner = await market.user()
    product = await market.product(await market.store(owner), stock=3)
    take = "placeOrder(input: { items: [{ productId: $id, quantity: 2 }] })"
    mutation = f"""
    mutation ($id: ID!) {{
      before: updateProduct(input: {{ id: $id, price: 2 }}) {{ ... on Product {{ stock version }} }}
      order: {take} {{ ... on Order {{ items {{ unitPrice {{ amount }} product {{ stock }} }} }} }}
      again: {take} {{ ... on InsufficientStock {{ shortages {{ available product {{ stock }} }} }} }}
      after: updateProduct(input: {{ id: $id, price: 4 }}) {{ ... on Product {{ stock version }} }}
    }}
    """

    data = await api.data(mutation, {"id": gid(product)}, user=owner)

    assert data == {
        "before": {"stock": 3, "version": 2},
        "order": {"items": [{"unitPrice": {"amount": "2.00"}, "product": {"stock": 1}}]},
        "again": {"shortages": [{"available": 1, "product": {"stock": 1}}]},
        "after": {"stock": 1, "version": 4},
    }
    assert (await market.reload(product)).stock == 1


async def test_a_mutation_is_refused_whole_before_any_field_ran(
    api: Api, market: Market, statements: Statements
) -> None:
    owner: User = await market.user()
    mutation = """
    mutation {
      createStore(
        input: { name: "A", street: "B", zipcode: "1", city: "C", country: "DE", currency: "EUR" }
      ) { __typename }
      deleteStore(id: null) { __typename }
    }
    """

    statements.clear()

    error = await api.error(mutation, user=owner)

    assert error["code"] == "GRAPHQL_VALIDATION_FAILED"
    assert statements == []
