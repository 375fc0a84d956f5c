"""Accounts: signing up, logging in, and who a user is."""
