"""Queries on replicas: which server answers each, and that nobody misses what they have written."""
