"""``referrals collect``: results from RabbitMQ into a file or a database."""
