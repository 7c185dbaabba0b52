"""What ``prepare`` writes: the configuration folder, history as frame files, signals, the truth for benchmarks."""
