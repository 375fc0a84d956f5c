"""How the tests of products change the catalogue."""

from typing import Any

from app.db.models import User
from tests.api import Api

PRODUCT = """
fragment product on Product {
  id name description price { amount currency } stock version createdAt updatedAt deletedAt store { id }
}
"""
# Descriptions of a thousand products would cost too much.
IN_BATCH = PRODUCT.replace(" description", "")
FAILURES = """
  ... on NotFound { missingId }
  ... on Conflict { path code }
  ... on InvalidInput { issues { path code message } }
"""
CREATE = f"""
mutation ($input: CreateProductInput!) {{
  createProduct(input: $input) {{
    __typename ... on Error {{ message }} ... on CreateProductSuccess {{ product {{ ...product }} }} {FAILURES}
  }}
}}
{PRODUCT}
"""
CREATE_MANY = f"""
mutation ($input: CreateProductsInput!) {{
  createProducts(input: $input) {{
    __typename ... on Error {{ message }} ... on CreateProductsSuccess {{ products {{ ...product }} }} {FAILURES}
  }}
}}
{IN_BATCH}
"""
UPDATE = f"""
mutation ($input: UpdateProductInput!) {{
  updateProduct(input: $input) {{
    __typename ... on Error {{ message }} ... on UpdateProductSuccess {{ product {{ ...product }} }} {FAILURES}
    ... on StaleVersion {{ currentVersion current {{ ...product }} }}
  }}
}}
{PRODUCT}
"""
UPDATE_MANY = f"""
mutation ($input: UpdateProductsInput!) {{
  updateProducts(input: $input) {{
    __typename ... on Error {{ message }} ... on UpdateProductsSuccess {{ products {{ ...product }} }} {FAILURES}
    ... on StaleVersion {{ currentVersion current {{ ...product }} }}
  }}
}}
{IN_BATCH}
"""
ADJUST_STOCK = f"""
mutation ($input: AdjustStockInput!) {{
  adjustStock(input: $input) {{
    __typename
    ... on Error {{ message }}
    ... on AdjustStockSuccess {{ product {{ ...product }} productEdge {{ cursor node {{ id stock }} }} }}
    ... on NotFound {{ missingId }}
    ... on InvalidInput {{ issues {{ path code message }} }}
  }}
}}
{PRODUCT}
"""
SET_STOCK = f"""
mutation ($input: SetStockInput!) {{
  setStock(input: $input) {{
    __typename
    ... on Error {{ message }}
    ... on SetStockSuccess {{ product {{ ...product }} productEdge {{ cursor node {{ id stock }} }} }}
    ... on NotFound {{ missingId }}
    ... on InvalidInput {{ issues {{ path code message }} }}
    ... on StaleStock {{ currentStock current {{ ...product }} }}
  }}
}}
{PRODUCT}
"""
DELETE = f"""
mutation ($id: ID!) {{
  deleteProduct(input: {{ id: $id }}) {{
    __typename
    ... on Error {{ message }}
    ... on DeleteProductSuccess {{ deletedProductId product {{ ...product }} }}
    ... on NotFound {{ missingId }}
  }}
}}
{PRODUCT}
"""
RESTORE = f"""
mutation ($id: ID!) {{
  restoreProduct(input: {{ id: $id }}) {{
    __typename
    ... on Error {{ message }}
    ... on RestoreProductSuccess {{ product {{ ...product }} }}
    ... on NotFound {{ missingId }}
    ... on Conflict {{ path code }}
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


async def update_many(api: Api, user: User, *products: dict[str, Any]) -> Any:
    """Return what updateProducts answers."""
    return (await api.data(UPDATE_MANY, {"input": {"products": products}}, user=user))["updateProducts"]


async def adjust_stock(api: Api, user: User, **input: Any) -> Any:
    """Return what adjustStock answers."""
    return (await api.data(ADJUST_STOCK, {"input": input}, user=user))["adjustStock"]


async def set_stock(api: Api, user: User, **input: Any) -> Any:
    """Return what setStock answers."""
    return (await api.data(SET_STOCK, {"input": input}, user=user))["setStock"]


async def delete(api: Api, user: User, id: str) -> Any:
    """Return what deleteProduct answers."""
    return (await api.data(DELETE, {"id": id}, user=user))["deleteProduct"]


async def restore(api: Api, user: User, id: str) -> Any:
    """Return what restoreProduct answers."""
    return (await api.data(RESTORE, {"id": id}, user=user))["restoreProduct"]
