"""What several tests of stores send."""

from typing import Any

from app.db.models import Store, User
from tests.api import Api
from tests.market import gid

STORE = "id name street postcode city country currency domain phone version deletedAt owner { id }"
_NOT_FOUND = "... on NotFound { missingId message }"
_CONFLICT = "... on Conflict { path code message }"
_FAILURES = f"{_CONFLICT} ... on InvalidInput {{ message issues {{ path code message }} }}"

CREATE_STORE = f"""
mutation ($input: CreateStoreInput!) {{
  createStore(input: $input) {{
    __typename ... on CreateStoreSuccess {{ store {{ {STORE} }} }} {_FAILURES}
  }}
}}
"""
UPDATE_STORE = f"""
mutation ($input: UpdateStoreInput!) {{
  updateStore(input: $input) {{
    __typename ... on UpdateStoreSuccess {{ store {{ {STORE} }} }} {_NOT_FOUND} {_FAILURES}
    ... on StaleVersion {{ message currentVersion current {{ ... on Store {{ {STORE} }} }} }}
  }}
}}
"""
DELETE_STORE = f"""
mutation ($id: ID!) {{
  deleteStore(input: {{ id: $id }}) {{
    __typename ... on DeleteStoreSuccess {{ deletedStoreId store {{ {STORE} }} }} {_NOT_FOUND}
  }}
}}
"""
RESTORE_STORE = f"""
mutation ($id: ID!) {{
  restoreStore(input: {{ id: $id }}) {{
    __typename ... on RestoreStoreSuccess {{ store {{ {STORE} }} }} {_NOT_FOUND} {_CONFLICT}
  }}
}}
"""

NEW_STORE = {
    "name": "Tea House",
    "street": "Main Street 1",
    "postcode": "10115",
    "city": "Berlin",
    "country": "DE",
    "currency": "EUR",
}
NO_STORE = "Store_00000000-0000-7000-8000-000000000000"


async def create(api: Api, user: User, **values: Any) -> Any:
    return (await api.data(CREATE_STORE, {"input": {**NEW_STORE, **values}}, user=user))["createStore"]


async def update(api: Api, user: User, store: Store | str, **changes: Any) -> Any:
    return (await api.data(UPDATE_STORE, {"input": {"id": _id(store), **changes}}, user=user))["updateStore"]


async def delete(api: Api, user: User, store: Store | str) -> Any:
    return (await api.data(DELETE_STORE, {"id": _id(store)}, user=user))["deleteStore"]


async def restore(api: Api, user: User, store: Store | str) -> Any:
    return (await api.data(RESTORE_STORE, {"id": _id(store)}, user=user))["restoreStore"]


async def names(api: Api, arguments: str = "", user: User | None = None) -> list[str]:
    """Return the names of the stores that a list has, with arguments such as `filter: {city: "Berlin"}`."""
    data = await api.data(f"{{ stores{f'({arguments})' if arguments else ''} {{ nodes {{ name }} }} }}", user=user)
    return [node["name"] for node in data["stores"]["nodes"]]


def not_found(id: str) -> dict[str, str]:
    return {"__typename": "NotFound", "missingId": id, "message": "There is no such Store."}


def _id(store: Store | str) -> str:
    return store if isinstance(store, str) else gid(store)
