"""Results on their way back: written to files, and read from wherever they are kept."""
