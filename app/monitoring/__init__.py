"""What operators see of the process: a log of every operation, metrics and traces."""
