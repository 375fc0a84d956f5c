"""What the API costs beside a tutorial's server and hand-written SQL: `python -m benchmarks`, docs/performance.md."""
