"""Pages for people: the front page and GraphiQL."""
