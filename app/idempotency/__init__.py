"""Idempotency keys: requests that clients can safely retry."""
