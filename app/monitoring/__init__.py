"""What operators are told: of every operation, and of the process."""
