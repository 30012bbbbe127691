"""Takes results from RabbitMQ until it is told to stop, and goes on by itself after a failure of either side."""

import threading
import time
from contextlib import suppress

import structlog

from worker.backoff import Backoff
from worker.cli.collect.destination import Destination
from worker.errors import BrokerError, DatabaseError, UnavailableError
from worker.rabbitmq.connection import Parameters
from worker.rabbitmq.result_consumer import ResultConsumer
from worker.rabbitmq.topology import RESULTS

POLL_SECONDS = 0.5
"""Longest wait for results, after which a signal to stop is obeyed."""

LONGEST_BACKOFF_SECONDS = 15.0
"""Longest pause before RabbitMQ or the database is tried again."""

log = structlog.get_logger(__name__)


def collect_until(
    params: Parameters, destination: Destination, stop: threading.Event, until_idle: float | None
) -> str | None:
    """Take results until a signal or, with ``until_idle``, until none came for so long. Blocks.

    Returns why it ended if no result came at all. What fails at the start is raised; later it is tried again.

    Raises:
      ReferralError: RabbitMQ or the destination fails at the start, or in a way that no waiting helps.
    """
    why = None
    came = False
    backoff = Backoff(POLL_SECONDS, LONGEST_BACKOFF_SECONDS)
    outage = _Outage()
    destination.open()
    collector: ResultConsumer | None = ResultConsumer(params)
    last = time.monotonic()
    while not stop.is_set():
        try:
            if collector is None:
                # In this order: nothing is taken from RabbitMQ that can't be stored.
                destination.open()
                collector = ResultConsumer(params)
            batch = collector.batch(seconds=min(POLL_SECONDS, until_idle or POLL_SECONDS))
            if batch:
                last, came = time.monotonic(), True
                _take(collector, destination, batch)
            elif until_idle is not None and time.monotonic() - last >= until_idle:
                why = None if came else _nothing_came(until_idle, collector.others())
                break
            backoff.reset()
            outage.over()
        except (BrokerError, DatabaseError) as error:
            outage.report(error)
            # An open channel would keep its unacknowledged results from the next one, and RabbitMQ would close it over
            # them in the end (consumer_timeout).
            _close(collector)
            collector = None
            stop.wait(backoff.next())
            # While either side was away no result could come, so that time doesn't count as idle.
            last = time.monotonic()
    _close(collector)
    return why


def _take(collector: ResultConsumer, destination: Destination, batch: list[tuple[int, bytes]]) -> None:
    bad = set(destination.take(batch))
    collector.reject(sorted(bad))
    # One acknowledgement covers every tag up to its own; the bad ones are already rejected.
    if len(bad) < len(batch):
        collector.ack(max(tag for tag, _ in batch if tag not in bad))


def _close(collector: ResultConsumer | None) -> None:
    if collector is not None:
        with suppress(BrokerError):
            collector.close()


class _Outage:
    """Says once that a side fails, however often it is tried again, and once that it works again."""

    def __init__(self) -> None:
        self._of: type[UnavailableError] | None = None

    def report(self, error: UnavailableError) -> None:
        if self._of is not type(error):
            self._of = type(error)
            event = "database_disconnected" if isinstance(error, DatabaseError) else "collector_disconnected"
            log.warning(event, problem=str(error), then="results wait in RabbitMQ until it works again")

    def over(self) -> None:
        if self._of is not None:
            log.warning("collector_goes_on")
            self._of = None


def _nothing_came(seconds: float, others: int) -> str:
    """Why no result came, as far as RabbitMQ tells: ``others`` are other consumers of the results."""
    if others:
        return f"no result came within {seconds:g} s; other consumers are taking results from {RESULTS}: {others}"
    return (
        f"no result came within {seconds:g} s; `referrals status` shows whether jobs are published and a worker runs; "
        "start this again then, or raise --until-idle; results that were already collected don't come again"
    )
