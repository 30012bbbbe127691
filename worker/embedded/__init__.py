"""A whole campaign in this process: export in, results file out, no service needed."""
