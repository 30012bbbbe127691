"""Private services for tests and for a developer's machine: brokers, stores and databases of our own.

They listen on free ports of 127.0.0.1, keep everything in one folder and are ended by the pids that were started;
a broker that was already running is never touched. ``scripts/services`` is the same from a shell.
"""

from tests.services.base import Service, ServiceError
from tests.services.forwarder import Forwarder
from tests.services.postgresql import PostgreSQL
from tests.services.prometheus import Prometheus, Scrape, promtool
from tests.services.rabbitmq import RabbitMQ, Vhost
from tests.services.stack import Stack, attach, open_rabbitmq, stop_all, up
from tests.services.valkey import Valkey
from tests.services.wait import wait_until

__all__ = [
    "Forwarder",
    "PostgreSQL",
    "Prometheus",
    "RabbitMQ",
    "Scrape",
    "Service",
    "ServiceError",
    "Stack",
    "Valkey",
    "Vhost",
    "attach",
    "open_rabbitmq",
    "promtool",
    "stop_all",
    "up",
    "wait_until",
]
