"""Many worker processes on virtual time: the real gate, limits and memory store, without a broker, threads or calls.

For property tests, and for planning beyond what one machine can show.
"""
