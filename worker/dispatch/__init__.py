"""The use case: one granted job, one call, one disposition."""
