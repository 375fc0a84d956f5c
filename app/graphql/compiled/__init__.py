"""The compiled path: a query that is understood to its last field becomes one statement, whose text is the response.

`path` finds the plan of a document, and `plans` keeps it. `compiler` makes a plan with the help of `page` for
connections and `rows` for other objects and lists; they share a `compilation`, which binds arguments with `binding`.
`statements` writes the SQL, `text` turns what Postgres returns into the response, and `safety` refuses a schema whose
texts could break it. None of them knows stores or orders.
"""
