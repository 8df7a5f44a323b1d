"""What pa-harness costs and how exact it is, measured: ``python -m benchmarks.all``."""
