"""Stores: who sells, where, and in which currency."""
