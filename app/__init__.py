"""The Orders API: a GraphQL backend for a marketplace."""
