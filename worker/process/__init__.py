"""What belongs to a process as a whole: its signals, its end with its parent, its core, what it keeps between calls."""
