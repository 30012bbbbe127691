"""The life of a worker process: how it is told to stop, and whom it ends with."""
