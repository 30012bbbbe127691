"""``scripts/bench fuzz``: the targets of tests/fuzz under a fuzzer that is led by what the code has not done yet."""
