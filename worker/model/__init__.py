"""What a job is, and the closed sets of what can become of it: data without I/O, a clock or a thread."""
