"""Orders: what customers bought, at which price, and how far it has come."""
