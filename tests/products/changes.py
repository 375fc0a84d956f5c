"""How the tests of products change the catalogue."""

from typing import Any

from app.db.models import User
from tests.api import Api

PRODUCT = """
fragment product on Product {
  id name description price { amount currency } stock version createdAt updatedAt deletedAt store { id }
}
"""
FAILURES = """
  ... on NotFound { id }
  ... on Conflict { field }
  ... on InvalidInput { issues { path message } }
"""
CREATE = f"""
mutation ($input: CreateProductInput!) {{
  createProduct(input: $input) {{ __typename ... on Error {{ message }} ...product {FAILURES} }}
}}
{PRODUCT}
"""
CREATE_MANY = f"""
mutation ($input: CreateProductsInput!) {{
  createProducts(input: $input) {{
    __typename ... on Error {{ message }} ... on ProductBatch {{ products {{ ...product }} }} {FAILURES}
  }}
}}
{PRODUCT}
"""
UPDATE = f"""
mutation ($input: UpdateProductInput!) {{
  updateProduct(input: $input) {{
    __typename ... on Error {{ message }} ...product {FAILURES} ... on StaleVersion {{ currentVersion }}
  }}
}}
{PRODUCT}
"""
DELETE = f"""
mutation ($id: ID!) {{
  deleteProduct(id: $id) {{ __typename ... on Error {{ message }} ...product ... on NotFound {{ id }} }}
}}
{PRODUCT}
"""
RESTORE = f"""
mutation ($id: ID!) {{
  restoreProduct(id: $id) {{
    __typename ... on Error {{ message }} ...product ... on NotFound {{ id }} ... on Conflict {{ field }}
  }}
}}
{PRODUCT}
"""


async def create(api: Api, user: User, **input: Any) -> Any:
    """Return what createProduct answers."""
    return (await api.data(CREATE, {"input": input}, user=user))["createProduct"]


async def create_many(api: Api, user: User, store: str, products: list[Any]) -> Any:
    """Return what createProducts answers."""
    input = {"storeId": store, "products": products}
    return (await api.data(CREATE_MANY, {"input": input}, user=user))["createProducts"]


async def update(api: Api, user: User, **input: Any) -> Any:
    """Return what updateProduct answers."""
    return (await api.data(UPDATE, {"input": input}, user=user))["updateProduct"]


async def delete(api: Api, user: User, id: str) -> Any:
    """Return what deleteProduct answers."""
    return (await api.data(DELETE, {"id": id}, user=user))["deleteProduct"]


async def restore(api: Api, user: User, id: str) -> Any:
    """Return what restoreProduct answers."""
    return (await api.data(RESTORE, {"id": id}, user=user))["restoreProduct"]
