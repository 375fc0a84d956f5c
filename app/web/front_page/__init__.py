"""The page at `/`: what this API is, the current state of the shop, and example queries."""
