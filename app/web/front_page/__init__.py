"""The page at `/`, for people: what this is, the shop as it is now, and queries to begin with."""
