"""The store of a single process."""
