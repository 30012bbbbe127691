"""The life of a worker process: it stops on signals, and it ends with its parent."""
