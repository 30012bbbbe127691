"""Everything AMQP: the port underneath the loop, publishing, declaring, the dead queue, and what commands ask."""
