"""The brokers that Dramatiq runs on: RabbitMQ (``consumer``, ``publisher``, ``topology``) and ``local``."""
