"""Development tools, which are not part of the production image."""
