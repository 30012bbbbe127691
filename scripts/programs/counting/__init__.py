"""``scripts/counts``: counts of what a job costs, which a busy machine changes little, beside a committed baseline."""
