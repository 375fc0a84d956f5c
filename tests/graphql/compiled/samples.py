"""What generated operations are fed with: ids, and cursors as the API gives them out."""

from tests.api import Api
from tests.graphql.compiled.operations import Samples
from tests.graphql.compiled.world import Population

LISTS = {
    "stores": ("Store", ["ID-asc", "NAME-asc", "NAME-desc", "CREATED_AT-asc", "CREATED_AT-desc"]),
    "products": ("Product", ["ID-asc", "NAME-asc", "NAME-desc", "PRICE-asc", "PRICE-desc", "CREATED_AT-asc"]),
    "orders": ("Order", ["PLACED_AT-desc", "PLACED_AT-asc"]),
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
    for label, direction in (("PLACED_AT-desc", "DESC"), ("PLACED_AT-asc", "ASC")):
        orders = f"orders(first: 100, orderBy: {{field: PLACED_AT, direction: {direction}}})"
        found["StoreOrder", label] = await _cursors(api, population, orders, within=population.ids["Store"][0])
    return Samples(population.ids, population.numbers, found)


async def _cursors(api: Api, population: Population, field: str, within: str | None = None) -> list[str]:
    """Return some cursors of a list at the root, or of the store with this id."""
    found = f"found: {field} {{ edges {{ cursor }} }}"
    query = f'{{ store(id: "{within}") {{ {found} }} }}' if within else f"{{ {found} }}"
    data = await api.data(query, user=population.viewers["superuser"])
    cursors = [edge["cursor"] for edge in (data["store"] if within else data)["found"]["edges"]]
    assert cursors
    return [*cursors[:: max(1, len(cursors) // 4)], cursors[-1]]
