"""Subscriptions: what is told, to whom, and until when."""
