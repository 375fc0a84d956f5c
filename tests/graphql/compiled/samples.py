"""What generated operations are fed with: ids, and cursors as the API gives them out."""

from tests.api import Api
from tests.graphql.compiled.operations import Samples
from tests.graphql.compiled.world import Population

LISTS = {
    "stores": ("Store", ["ID-asc", "NAME-asc", "NAME-desc", "CREATED_AT-asc", "CREATED_AT-desc"]),
    "products": ("Product", ["ID-asc", "NAME-asc", "NAME-desc", "PRICE-asc", "PRICE-desc", "CREATED_AT-asc"]),
    "orders": ("Order", ["DATE-desc", "DATE-asc"]),
    "users": ("User", ["ID-asc"]),
    "auditEntries": ("AuditEntry", ["ID-desc"]),
}


async def samples_of(api: Api, population: Population) -> Samples:
    """Return ids of the world, and cursors of every order."""
    found = {}
    for field, (type_, labels) in LISTS.items():
        for label in labels:
            order, _, direction = label.partition("-")
            order_by = "" if order == "ID" else f", orderBy: {{field: {order}, direction: {direction.upper()}}}"
            found[type_, label] = await _cursors(api, population, f"{field}(first: 100{order_by})")
    for field, type_ in (("stores", "Store"), ("products", "Product")):
        found[type_, "RELEVANCE-desc"] = await _cursors(api, population, f'{field}(filter: {{search: "a"}})')
    return Samples(population.ids, found)


async def _cursors(api: Api, population: Population, field: str) -> list[str]:
    data = await api.data(f"{{ found: {field} {{ edges {{ cursor }} }} }}", user=population.viewers["superuser"])
    cursors = [edge["cursor"] for edge in data["found"]["edges"]]
    assert cursors
    return [*cursors[:: max(1, len(cursors) // 4)], cursors[-1]]
