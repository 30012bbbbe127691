"""The two workers that are compared, behind one protocol: how to start each, and how to send jobs to it."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

import dramatiq
import pika
from dramatiq.brokers.rabbitmq import RabbitmqBroker

from scripts.programs.benchmarks.inputs import CHANNEL, UNLIMITED, customer, slugs, write_shops
from scripts.programs.benchmarks.process import Program
from scripts.programs.benchmarks.site import SHOPS, THREADS, Api, Site
from tests.services import Vhost
from worker.model.job import Customer, Job
from worker.rabbitmq.connection import connect, parameters
from worker.rabbitmq.declare import declare_topology
from worker.rabbitmq.producer import Producer
from worker.rabbitmq.topology import queues
from worker.sandbox.config import SANDBOX_KEY_ID, SANDBOX_SECRET

Send = Callable[[Job], None]
"""Publishes one job; returns once RabbitMQ has confirmed it."""


class Contender(Protocol):
    """A worker of one process with 16 threads over 100 shops."""

    name: str

    def declare(self, vhost: Vhost) -> None:
        """Make the queues."""

    def publish(self, vhost: Vhost, jobs: Iterable[Job]) -> None:
        """Put jobs into their shops' queues; returns once they are there."""

    def start(self, site: Site, vhost: Vhost, api: Api) -> Program:
        """Start the worker."""

    def sending(self, vhost: Vhost) -> AbstractContextManager[Send]:
        """An open connection to send single jobs over."""


class Ours:
    """``referrals work``, with more in its ``environment`` if it is given."""

    name = "Referral Dispatch"

    def __init__(self, **environment: str) -> None:
        self._environment = environment

    def declare(self, vhost: Vhost) -> None:
        with _producer(vhost) as producer:
            producer.declare(slugs(SHOPS))

    def publish(self, vhost: Vhost, jobs: Iterable[Job]) -> None:
        with _producer(vhost) as producer:
            for job in jobs:
                producer.send(job)

    def start(self, site: Site, vhost: Vhost, api: Api) -> Program:
        shops = site.folder / "shops.toml"
        write_shops(shops, api.url, slugs(SHOPS), UNLIMITED)
        command = site.referrals("work", "--threads", str(THREADS))
        return site.start("ours", command, site.environment(vhost, shops, **self._environment))

    @contextmanager
    def sending(self, vhost: Vhost) -> Iterator[Send]:
        with _producer(vhost) as producer:

            def send(job: Job) -> None:
                producer.send(job)
                producer.flush()

            yield send


class Stock:
    """``dramatiq`` as it comes: classic queues, one for each shop, and their delay queues."""

    name = "stock Dramatiq"

    def declare(self, vhost: Vhost) -> None:
        broker: Any = RabbitmqBroker(url=vhost.url)
        for shop in slugs(SHOPS):
            broker.declare_queue(shop, ensure=True)
        broker.close()
        connection = connect(parameters(vhost.url, name="bench"))
        declare_topology(connection, queues(()))
        connection.close()

    def publish(self, vhost: Vhost, jobs: Iterable[Job]) -> None:
        connection = pika.BlockingConnection(pika.URLParameters(vhost.url))
        channel = connection.channel()
        for job in jobs:
            _put(channel, job)
        connection.close()

    def start(self, site: Site, vhost: Vhost, api: Api) -> Program:
        command = [sys.executable, "-m", "dramatiq", "scripts.programs.benchmarks.stock", "-p", "1", "-t", str(THREADS)]
        env = site.environment(
            BENCH_API_URL=api.url,
            BENCH_AMQP_URL=vhost.url,
            BENCH_KEY_ID=SANDBOX_KEY_ID,
            BENCH_SECRET=SANDBOX_SECRET,
            BENCH_SHOPS=",".join(slugs(SHOPS)),
        )
        return site.start("stock", command, env)

    @contextmanager
    def sending(self, vhost: Vhost) -> Iterator[Send]:
        connection = pika.BlockingConnection(pika.URLParameters(vhost.url))
        channel = connection.channel()
        channel.confirm_delivery()
        try:
            yield lambda job: _put(channel, job)
        finally:
            connection.close()


CONTENDERS: tuple[Contender, ...] = (Ours(), Stock())


def jobs(count: int, *, first: int = 0) -> Iterator[Job]:
    """Jobs of one customer each, the shops by turns."""
    shops = slugs(SHOPS)
    for number in range(first, first + count):
        yield Job.create(
            shop=shops[number % SHOPS],
            campaign="bench",
            customer=Customer(email=customer(number)),
            channel=CHANNEL,
            reference=f"ref-{number}",
            line=number,
        )


def _producer(vhost: Vhost) -> Producer:
    return Producer(parameters(vhost.url, name="bench"))


def _put(channel: Any, job: Job) -> None:
    message: dramatiq.Message[None] = dramatiq.Message(
        queue_name=job.shop,
        actor_name=f"refer-{job.shop}",
        args=(job.model_dump(mode="json", exclude_none=True),),
        kwargs={},
        options={},
    )
    channel.basic_publish("", job.shop, message.encode(), pika.BasicProperties(delivery_mode=2))
