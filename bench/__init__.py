"""Benchmarks, each runnable alone from the root of the project: `python -m bench.hot`."""
