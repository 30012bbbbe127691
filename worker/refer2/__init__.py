"""The only HTTP: a call to Refer2, and what its answer means."""
