"""The compiled lane: a query that is understood to its last field becomes one statement, whose text is the response.

`meaning` is what a type says of its fields in SQL, `operations` reads documents and keeps plans, `statements` writes
the SQL of one, `text` makes the response out of what Postgres returns. None of them knows stores or orders.
"""
