"""The server process: what it accepts, how it starts, logs and ends, and whether it is ready."""
