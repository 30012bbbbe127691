"""What ``scripts/bench`` measures: one module per benchmark, each with a ``BENCHMARK``."""
