"""The worker that one writes first: stock broker, stock middleware, a call in an actor. Run by the dramatiq command."""

import os

import dramatiq
import requests
from dramatiq.brokers.rabbitmq import RabbitmqBroker

QUEUE = "stock"
AMQP_URL = "STOCK_AMQP_URL"
UPSTREAM = "STOCK_UPSTREAM"

broker = RabbitmqBroker(url=os.environ[AMQP_URL])
dramatiq.set_broker(broker)


@dramatiq.actor(queue_name=QUEUE)
def call(number: int) -> None:
    """Call the upstream, and tell it afterwards that the answer arrived."""
    upstream = os.environ[UPSTREAM]
    requests.post(upstream, json={"number": number}, timeout=60)
    requests.post(f"{upstream}/finished", json={"number": number}, timeout=60)
