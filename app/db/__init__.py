"""The database: models, connections, transactions, statements, pagination, migrations and notifications."""
