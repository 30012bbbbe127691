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

BACKOFF_SECONDS = 0.5, 15.0
"""The first pause between two attempts, and the longest."""

log = structlog.get_logger(__name__)


class JournalQuestion:
    """One question at a time, repeated until RabbitMQ answers it or nobody wants to know any more.

    The thread ends with that, and calls ``wake``. The methods are for the consumer's thread and never block.
    ``pauses`` between attempts are as in :data:`BACKOFF_SECONDS`.
    """

    def __init__(
        self, params: Parameters, wake: Callable[[], None], *, pauses: tuple[float, float] = BACKOFF_SECONDS
    ) -> None:
        self._params = params
        self._wake = wake
        self._pauses = pauses
        self._wanted: int | None = None
        self.is_asking = False
        """Whether a question is under way, or :meth:`take` has something."""
        self.answers: deque[tuple[int, int] | None] = deque()
        """What :meth:`take` has. An attribute, like the one above: both are looked at whenever anything comes."""
        self._settled = threading.Event()

    def ask(self, generation: int | None) -> None:
        """The store of this generation is in doubt: ask now, or with the next attempt of the question under way; None:
        nothing is in doubt any more.
        """
        self._wanted = generation
        if generation is not None:
            self._settled.clear()
            if not self.is_asking:
                self.is_asking = True
                threading.Thread(target=self._run, name="journal", daemon=True).start()
        elif self.is_asking:
            self._settled.set()

    def take(self) -> tuple[int, int] | None:
        """How many changes the journal has, and the generation for which it was asked; None: nobody has answered."""
        if not self.answers:
            return None
        self.is_asking = False
        return self.answers.popleft()

    def close(self) -> None:
        """End the thread after the attempt that is under way, without waiting for it."""
        self.ask(None)

    def _run(self) -> None:
        backoff = Backoff(*self._pauses)
        answer: tuple[int, int] | None = None
        while (generation := self._wanted) is not None:
            try:
                length = journal_length(self._params)
            except (BrokerError, ConfigurationError) as error:
                log.warning("journal_unknown", problem=str(error))
            except Exception as error:  # noqa: BLE001 - nobody would be called any more, and nobody told
                log.error("journal_unknown", error=type(error).__name__, where=raised_at(error))
            else:
                answer = length, generation
                break
            self._settled.wait(backoff.next())
        # Also without an answer: what is in doubt by now needs another thread.
        self.answers.append(answer)
        self._wake()
