"""What developing and testing need and production does not."""
