"""Subscriptions: what is followed, and how each event is told."""
