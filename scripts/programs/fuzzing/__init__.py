"""``scripts/bench fuzz``: the targets of tests/fuzz under a fuzzer that is guided by coverage."""
