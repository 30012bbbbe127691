"""Dramatiq's own consumer in this process: one queue, one actor."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import dramatiq
import pika
import pika.exceptions
from dramatiq.brokers.rabbitmq import RabbitmqBroker

from tests.services import Vhost

QUEUE = "stock"


def stock_message(name: str, *, queue_name: str = QUEUE) -> bytes:
    """A message for the stock actor, whatever queue it claims to be of."""
    message: dramatiq.Message[None] = dramatiq.Message(
        queue_name=queue_name, actor_name="work", args=(name,), kwargs={}, options={}
    )
    return message.encode()


def name_in(body: bytes) -> str:
    return str(json.loads(body)["args"][0])


@contextmanager
def stock_worker(vhost: Vhost, work: Callable[[str], None], *, threads: int) -> Iterator[dramatiq.Worker]:
    """A stock broker with one actor, without middleware, and a worker that runs for the length of the ``with``."""
    broker = RabbitmqBroker(url=f"{vhost.url}?client_properties={{'connection_name':'{QUEUE}'}}", middleware=[])
    dramatiq.actor(broker=broker, queue_name=QUEUE, actor_name="work")(work)
    worker = dramatiq.Worker(broker, worker_threads=threads, worker_timeout=100)
    worker.start()
    try:
        yield worker
    finally:
        worker.stop()
        broker.close()


def queue_exists(vhost: Vhost, queue: str) -> bool:
    """Whether the stock broker has declared the queue and those that go with it."""
    # Of the queue's three this is the one that the stock broker declares last. Asking for one that isn't there closes
    # the channel.
    with pika.BlockingConnection(pika.URLParameters(vhost.url)) as connection:
        try:
            connection.channel().queue_declare(f"{queue}.XQ", passive=True)
        except pika.exceptions.ChannelClosedByBroker:
            return False
    return True
