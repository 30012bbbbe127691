"""Referral Dispatch: sends referral campaigns through Refer2 at the pace that each shop allows.

For producers, such as a web application that sends one referral or a batch::

    from worker import Customer, Job, publish

    publish([Job.create(shop="acme", campaign="refer-a-friend", customer=Customer(shopid="1234"), channel="whatsapp")])
"""

from __future__ import annotations

import os
import warnings
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from worker.model.job import Customer, Job
    from worker.rabbitmq.connection import Parameters
    from worker.settings import Settings

__all__ = ["Customer", "Job", "publish"]

MOST_WARNED = 20
"""Unknown channels that one call of :func:`publish` warns about."""


def __getattr__(name: str) -> object:
    # A job brings pydantic, which is most of a command's start: imported here, Ctrl-C during the start would end in a
    # traceback before any line of the command could catch it.
    if name in ("Customer", "Job"):
        from worker.model import job

        return getattr(job, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@lru_cache(maxsize=8)
def _settings(environment: frozenset[tuple[str, str]], amqp_url: str | None) -> Settings:
    # Worked out once for each environment: it takes a millisecond of CPU, half of what a job's publication takes.
    from worker import settings

    del environment
    loaded = settings.load()
    return loaded if amqp_url is None else settings.with_amqp_url(loaded, amqp_url)


def publish(
    jobs: Job | Iterable[Job],
    *,
    amqp_url: str | None = None,
    producer: str | None = None,
    timeout: float = 30.0,
    window: str | None = None,
    urgent: bool = False,
) -> int:
    """Publish one or several jobs to RabbitMQ and return how many. Blocks until RabbitMQ has confirmed each of them.

    ``amqp_url`` defaults to ``REFERRALS_AMQP_URL``. ``producer`` is the name of a producer with an exchange of its own,
    and defaults to ``REFERRALS_PRODUCER``. ``timeout`` is the longest wait in seconds without any confirm. ``window``
    are hours for those of the jobs that have none of their own, such as ``Mon-Fri 09:00-18:00 Europe/Vienna``.
    ``urgent`` jobs go before all others of their shops: docs/urgent.md.

    May be called from any thread: the first call opens a connection, which all further ones share, until the program
    ends. A call that finds it lost opens another; a call under way when it is lost connects again and publishes anew
    what was not confirmed, so that a message may arrive twice. A child process after a fork opens its own.

    Publishing a job again is safe: its id is made from its fields, and a job that has its answer is not called again.
    With ``REFERRALS_REDIS_URL`` the jobs are counted for `referrals status`, over a connection that is kept in the same
    way; if the store is out of reach, that takes half a second longer, the count is lost, and a warning is logged.

    Each job belongs to the caller's trace, where the program uses OpenTelemetry: docs/traces.md.

    A channel that is unknown here is sent unchanged, after a ``UserWarning``.

    Raises:
      worker.errors.ConfigurationError: the URL or the producer's name can't be used.
      worker.errors.UnroutableError: a job's shop has no queue yet; jobs of other shops may have been published.
      worker.errors.StoreError: a shop's first queue for urgent jobs could not be made known to the workers.
      worker.errors.AccessRefusedError: RabbitMQ's user may not publish so.
      worker.errors.BrokerError: RabbitMQ is out of reach, refuses a job or confirms nothing.
      worker.errors.UsageError: the window can't be read; or a job's message is larger than a worker takes, and those
        before it may have been published.
    """
    # Imported when used: a program that only builds jobs needs neither pika nor an environment.
    import structlog

    from worker.clock import SystemClock
    from worker.errors import UnroutableError, UsageError
    from worker.model.job import KNOWN_CHANNELS, UNKNOWN_CHANNEL, Job
    from worker.model.lanes import ShopLane
    from worker.model.windows import window_of
    from worker.rabbitmq.connection import parameters
    from worker.rabbitmq.kept_publishers import kept_publishers
    from worker.rabbitmq.lane_making import make_lanes
    from worker.rabbitmq.producer import Producer
    from worker.settings import PREFIX
    from worker.store.counters import tally
    from worker.store.kept_stores import kept_stores
    from worker.telemetry.tracing import caller_tracing
    from worker.text import quoting

    if window is not None:
        try:
            window_of(window)
        except ValueError as error:
            raise UsageError(f"window: {error}") from None
    loaded = _settings(frozenset(each for each in os.environ.items() if each[0].upper().startswith(PREFIX)), amqp_url)
    url = loaded.amqp_url.get_secret_value()
    # A job is itself iterable, field by field. Urgent ones are kept: they may be published twice.
    several = [jobs] if isinstance(jobs, Job) else list(jobs) if urgent else jobs
    name = producer if producer is not None else loaded.producer
    warned: set[str] = set()
    clock = SystemClock()
    tracing = caller_tracing(clock)

    def params() -> Parameters:
        return parameters(url, name="referral-dispatch producer")

    def publish_all(*, may_make: bool) -> int:
        # A publisher for each producer's name: an exchange that is missing closes the channel of all that is under way.
        with kept_publishers().lend((url, name), params) as publisher:
            publishing = Producer(
                publisher.params,
                name=name,
                urgent=urgent,
                clock=clock,
                timeout=timeout,
                publisher=publisher,
                tracing=tracing,
            )
            again = False
            try:
                with publishing:
                    for job in several:
                        if job.channel not in KNOWN_CHANNELS | warned and len(warned) < MOST_WARNED:
                            warned.add(job.channel)
                            warnings.warn(UNKNOWN_CHANNEL.format(quoting.word(job.channel)), stacklevel=3)
                        if window is not None and job.window is None:
                            job = job.model_copy(update={"window": window})
                        publishing.send(job)
            except UnroutableError:
                again = may_make
                raise
            finally:
                # Also after an error: confirmed jobs are in RabbitMQ and will be called.
                counts = {key: {"published": count} for key, count in publishing.counted.items()}
                problem = tally(loaded, counts, kept_stores()) if not again else None
                if problem is not None:
                    structlog.get_logger(__name__).warning("tally_failed", problem=str(problem))
        return publishing.confirmed

    # Only a user who may declare, and who can tell the workers, makes a shop's first queue for urgent jobs.
    may_make = urgent and name is None and loaded.redis_url is not None
    try:
        return publish_all(may_make=may_make)
    except UnroutableError:
        if not may_make:
            raise
    with kept_stores().lend(loaded) as store:
        make_lanes(params(), sorted({ShopLane(job.shop, "urgent") for job in several}), store)
    return publish_all(may_make=False)
