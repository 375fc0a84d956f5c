"""The Orders API: a GraphQL backend for a marketplace."""

OLDEST_PYTHON = (3, 11)
