"""Relay's Node: everything that can be fetched again by its id alone."""

import strawberry


@strawberry.interface(description="Something with an id of its own, that `node` can fetch again.")
class Node:
    id: strawberry.ID = strawberry.field(description="The global id, unique among all types.")
