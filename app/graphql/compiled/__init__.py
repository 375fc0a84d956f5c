"""The compiled lane: a query that is understood to its last field becomes one statement, whose text is the response.

`meaning` is what a type says of its fields in SQL. `lane` reads documents and keeps `plans`; `compiler` makes one, with
the help of `page` for connections, `rows` for other objects and lists, and `binding` for arguments. `statements` writes
the SQL, `text` makes the response out of what Postgres returns, and `safety` refuses a schema whose texts could break
it. None of them knows stores or orders.
"""
