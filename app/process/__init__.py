"""The server process: receiving HTTP, starting and stopping, logging, and readiness."""
