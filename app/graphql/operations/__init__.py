"""The life of an operation: its document, limits, cost, rate limits, execution and response."""
