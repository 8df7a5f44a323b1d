"""What the benchmarks share; `python -m benchmarks.NAME` runs what lies one folder up."""
