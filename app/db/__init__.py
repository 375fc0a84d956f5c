"""The database: models, connections, transactions, statements, pagination and migrations."""
