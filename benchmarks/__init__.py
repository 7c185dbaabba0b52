"""Benchmarks that print ratios against a reference in the same run; no test is timed. `make bench` runs them all."""
