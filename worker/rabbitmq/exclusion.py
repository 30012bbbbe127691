"""Patience with a worker that has just ended: for a moment it may still seem to hold what only one worker may.

Runs on the main thread, before any worker thread starts. Blocks for up to three seconds.
"""

import time
from collections.abc import Callable

from worker.errors import ConfigurationError
from worker.rabbitmq.connection import Parameters, connect
from worker.rabbitmq.declare import hold_single

PATIENCE_SECONDS = 3.0
"""How long a process that has just ended may still seem to hold what only one process may. RabbitMQ notices a death a
moment late, and the child of a worker that was killed ends after it."""


def patiently(check: Callable[[], None]) -> None:
    """Call ``check`` until it raises no more.

    Raises:
      ConfigurationError: it still did after three seconds.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            check()
        except ConfigurationError:
            if time.monotonic() > deadline:
                raise
        else:
            return
        time.sleep(PATIENCE_SECONDS / 10)


def check_alone(params: Parameters) -> None:
    """Find out whether another process on the memory store is at work; this one's claim ends with the check.

    Raises:
      ConfigurationError: there is one.
      BrokerError: RabbitMQ is out of reach.
    """

    def check() -> None:
        connection = connect(params)
        try:
            hold_single(connection)
        finally:
            if connection.is_open:
                connection.close()

    patiently(check)
