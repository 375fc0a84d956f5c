"""Poolers between the API and Postgres: real PgBouncers."""
