"""Benchmarks of the API, a tutorial's server and hand-written SQL: `python -m benchmarks`, docs/performance.md."""
