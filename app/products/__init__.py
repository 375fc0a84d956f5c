"""Products: what stores sell, at which price, and how many are left."""
