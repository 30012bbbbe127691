"""The arithmetic of limits. Pure: integer microseconds in, integer microseconds out."""
