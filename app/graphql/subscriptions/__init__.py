"""Subscriptions: operations that run again after each event."""
