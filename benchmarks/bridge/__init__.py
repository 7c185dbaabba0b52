"""The bridge against strange, many and hostile stations: ``python -m benchmarks.bridge --help``. All bounded."""
