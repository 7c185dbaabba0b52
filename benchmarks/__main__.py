"""Runs the benchmarks one after another: ``python -m benchmarks``."""

import subprocess
import sys

BENCHMARKS = (["benchmarks.planner"], ["benchmarks.forecast", "--speed"])

for benchmark in BENCHMARKS:
    print(f"== {' '.join(benchmark)}", flush=True)
    subprocess.run([sys.executable, "-m", *benchmark], check=True)
