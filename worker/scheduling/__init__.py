"""Which job is called next, and what becomes of it: the same over RabbitMQ, in one process and in a simulation."""
