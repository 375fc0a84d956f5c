"""The GraphQL API: its schema, how fields are declared, and how operations are executed."""
