"""What the commands that publish jobs owe a person, however they end."""

from collections.abc import Iterator
from contextlib import contextmanager

from worker.cli import console
from worker.cli.store import say_uncounted
from worker.rabbitmq.producer import Producer
from worker.settings import Settings
from worker.store.counters import tally


@contextmanager
def counted(loaded: Settings, producer: Producer) -> Iterator[None]:
    """Count the jobs that RabbitMQ has confirmed, and at Ctrl-C say how many these are."""
    try:
        yield
    except KeyboardInterrupt:
        console.say(
            f"stopped after {producer.confirmed:,} jobs were published, which will be called; run the same command "
            "again for the rest, or cancel the campaign"
        )
        raise
    finally:
        # Confirmed jobs are in RabbitMQ and count, even if publishing was interrupted.
        counts = {key: {"published": jobs} for key, jobs in producer.counted.items()}
        say_uncounted(tally(loaded, counts))
