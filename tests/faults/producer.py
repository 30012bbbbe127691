"""A producer that writes down what RabbitMQ confirmed: one message at a time, so that each has its own answer."""

import contextlib
import threading
import time
from collections.abc import Iterable
from typing import Any

import pika
import pika.exceptions

from tests.faults.jobs import FaultJob

PATIENCE_SECONDS = 5
"""How long a confirm is waited for; a message without one is unknown and stays so."""


class Producer:
    """Publishes in a thread of its own. ``published`` has each id that was handed over, and whether it was confirmed.

    ``jobs`` may be endless: :meth:`stop` ends it. ``per_second`` is the pace; None for as fast as RabbitMQ confirms.
    """

    def __init__(self, url: str, jobs: Iterable[FaultJob], *, per_second: float | None = None) -> None:
        self.published: dict[str, bool] = {}
        self._params = pika.URLParameters(url)
        self._params.blocked_connection_timeout = PATIENCE_SECONDS
        self._params.socket_timeout = PATIENCE_SECONDS
        self._jobs = jobs
        self._interval = 1 / per_second if per_second else 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="producer", daemon=True)
        self._channel: Any = None

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Publish nothing more."""
        self._stop.set()

    def join(self, seconds: float) -> None:
        """Wait for the end.

        Raises:
          TimeoutError: it doesn't come.
        """
        self._thread.join(seconds)
        if self._thread.is_alive():
            raise TimeoutError(f"{len(self.published)} jobs are published and the next one isn't confirmed")

    def _run(self) -> None:
        start = time.monotonic()
        for number, job in enumerate(self._jobs):
            if self._stop.wait(max(0.0, start + number * self._interval - time.monotonic())):
                break
            self._publish(job)
        self._disconnect()

    def _publish(self, job: FaultJob) -> None:
        while self._channel is None:
            try:
                channel = pika.BlockingConnection(self._params).channel()
                channel.confirm_delivery()
                self._channel = channel
            except (pika.exceptions.AMQPError, OSError):
                if self._stop.wait(0.2):
                    return
        confirmed = self.published.get(job.job_id, False)
        try:
            put(self._channel, job.shop, job.message(), message_id=job.job_id)
            confirmed = True
        except (pika.exceptions.UnroutableError, pika.exceptions.NackError):
            pass
        except (pika.exceptions.AMQPError, OSError):
            self._disconnect()
        self.published[job.job_id] = confirmed

    def _disconnect(self) -> None:
        with contextlib.suppress(pika.exceptions.AMQPError, OSError, AttributeError):
            self._channel.connection.close()
        self._channel = None


def put(channel: Any, shop: str, body: bytes, *, message_id: str) -> None:
    """Publish a body to a shop's queue and wait for the confirm, on a channel that has them switched on.

    Raises:
      pika.exceptions.AMQPError: it was handed back or refused, or nobody can tell.
    """
    properties = pika.BasicProperties(delivery_mode=2, content_type="application/json", message_id=message_id)
    channel.basic_publish("referrals", shop, body, properties, mandatory=True)
