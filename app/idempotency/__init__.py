"""Requests that a client may send again without a second effect."""
