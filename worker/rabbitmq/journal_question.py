"""Asks RabbitMQ how long the journal of the suppression lists is, on a thread of its own.

The consumer's thread can't wait for it: a journal without a leader is answered for after half a minute, or not at all,
and the results of calls under way have to go out meanwhile.
"""

import threading
from collections import deque
from collections.abc import Callable

import structlog

from worker.backoff import Backoff
from worker.errors import BrokerError, ConfigurationError, raised_at
from worker.rabbitmq.connection import Parameters
from worker.rabbitmq.suppression_journal import journal_length

FIRST_BACKOFF_SECONDS = 0.5
LONGEST_BACKOFF_SECONDS = 15.0

log = structlog.get_logger(__name__)


class JournalQuestion:
    """One question at a time, repeated until RabbitMQ answers it. The thread ends with the answer.

    ``wake``, which reports an answer, is called on that thread. The methods are for the consumer's and never block.
    """

    def __init__(self, params: Parameters, wake: Callable[[], None]) -> None:
        self._params = params
        self._wake = wake
        self._asking = False
        self._answers: deque[tuple[int, int]] = deque()
        self._stop = threading.Event()

    def ask(self, generation: int) -> None:
        """Ask now, since the store of this generation is in doubt, unless a question is under way."""
        if not self._asking:
            self._asking = True
            threading.Thread(target=self._run, args=(generation,), name="journal", daemon=True).start()

    @property
    def has_answer(self) -> bool:
        """Whether :meth:`take` has something."""
        return bool(self._answers)

    def take(self) -> tuple[int, int] | None:
        """How many changes the journal has, and the generation for which it was asked."""
        if not self._answers:
            return None
        self._asking = False
        return self._answers.popleft()

    def close(self) -> None:
        """End the thread after the attempt that is under way, without waiting for it."""
        self._stop.set()

    def _run(self, generation: int) -> None:
        backoff = Backoff(FIRST_BACKOFF_SECONDS, LONGEST_BACKOFF_SECONDS)
        while not self._stop.is_set():
            try:
                length = journal_length(self._params)
            except (BrokerError, ConfigurationError) as error:
                log.warning("journal_unknown", problem=str(error))
            except Exception as error:  # noqa: BLE001 - nobody would be called any more, and nobody told
                log.error("journal_unknown", error=type(error).__name__, where=raised_at(error))
            else:
                self._answers.append((length, generation))
                self._wake()
                return
            self._stop.wait(backoff.next())
