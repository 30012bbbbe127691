"""The test's own hands on RabbitMQ, past everything that is being tested."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pika

from tests.services import RabbitMQ, ServiceError, Vhost, wait_until


@dataclass(frozen=True)
class Letter:
    """A message as it was taken from a queue; ``at`` is the wall clock's seconds then."""

    at: float
    exchange: str
    routing_key: str
    headers: dict[str, Any]
    properties: Any
    body: bytes


class Tap:
    """A connection of the test's own. Belongs to one thread."""

    def __init__(self, vhost: Vhost) -> None:
        self._connection = pika.BlockingConnection(pika.URLParameters(vhost.url))
        self.channel: Any = None
        self.reopen()

    def reopen(self) -> None:
        """A new channel, as RabbitMQ closes one over a refusal."""
        self.channel = self._connection.channel()
        self.channel.confirm_delivery()

    def put(self, exchange: str, key: str, body: bytes, **properties: Any) -> None:
        """Publish, persistent and confirmed; raises where no queue takes the message."""
        described = pika.BasicProperties(delivery_mode=2, **properties)
        self.channel.basic_publish(exchange, key, body, described, mandatory=True)

    def depth(self, queue: str) -> int:
        """How many messages of a queue are ready, as RabbitMQ reports it at the moment."""
        count: int = self.channel.queue_declare(queue, passive=True).method.message_count
        return count

    def take(self, queue: str, count: int, seconds: float, *, distinct: bool = False) -> list[Letter]:
        """The next ``count`` messages of a queue, each acknowledged; with ``distinct``, repeated bodies don't count.

        Raises:
          TimeoutError: there were fewer within ``seconds``.
        """
        letters: list[Letter] = []
        bodies: set[bytes] = set()
        end = time.monotonic() + seconds

        def missing() -> int:
            return count - len(bodies if distinct else letters)

        def on_message(channel: Any, method: Any, properties: Any, body: bytes) -> None:
            if missing() > 0:
                headers = dict(properties.headers or {})
                bodies.add(body)
                letters.append(Letter(time.time(), method.exchange, method.routing_key, headers, properties, body))
                channel.basic_ack(method.delivery_tag)

        consumer = self.channel.basic_consume(queue, on_message)
        try:
            while missing() > 0:
                if time.monotonic() > end:
                    raise TimeoutError(f"waited {seconds:g} s for {count} messages of {queue}; {missing()} are missing")
                self._connection.process_data_events(time_limit=0.1)
        finally:
            self.channel.basic_cancel(consumer)
        return letters

    def peek(self, queue: str) -> Letter | None:
        """Take the first message of a queue if there is one now."""
        method, properties, body = self.channel.basic_get(queue, auto_ack=True)
        if method is None:
            return None
        headers = dict(properties.headers or {})
        return Letter(time.time(), method.exchange, method.routing_key, headers, properties, body)

    def close(self) -> None:
        """Disconnect, unless somebody else did."""
        if self._connection.is_open:
            self._connection.close()


@contextmanager
def tapping(vhost: Vhost) -> Iterator[Tap]:
    """A tap for the length of a ``with``."""
    tap = Tap(vhost)
    try:
        yield tap
    finally:
        tap.close()


def await_listing(node: RabbitMQ, vhost: Vhost, client: str, *, count: int = 1) -> None:
    """Wait until RabbitMQ lists ``count`` connections that call themselves ``client``: it does so up to 5 s late."""
    wait_until(lambda: len(_listed(node, vhost, client)) >= count, 20, f"{count} connections called {client}")


def disconnect(node: RabbitMQ, vhost: Vhost, client: str) -> None:
    """Have RabbitMQ close the connections that it lists under the name ``client``."""
    for name in _listed(node, vhost, client):
        try:
            cut(node, [name])
        except ServiceError as error:
            # It was gone by itself, such as the one that looked whether a worker can run at all.
            if "404" not in str(error):
                raise


def cut(node: RabbitMQ, names: list[str]) -> None:
    """Have RabbitMQ close the connections that it calls so, which takes 2 ms each."""
    for name in names:
        node.api("DELETE", f"/api/connections/{quote(name)}")


def _listed(node: RabbitMQ, vhost: Vhost, client: str) -> list[str]:
    known = node.api("GET", f"/api/vhosts/{vhost.name}/connections")
    return [one["name"] for one in known if one.get("client_properties", {}).get("connection_name") == client]


def limit(node: RabbitMQ, vhost: Vhost, pattern: str, **definition: Any) -> None:
    """Set a policy on the queues of that pattern, as an operator may; one for each pattern."""
    name = "".join(character for character in pattern if character.isalnum())
    body = {"pattern": pattern, "definition": definition, "apply-to": "queues"}
    node.api("PUT", f"/api/policies/{vhost.name}/{name}", body)
