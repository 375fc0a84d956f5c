"""Deleting what is old: by rows, and by partitions."""
