"""Logs calls without an answer: one line for each shop and way of failing, in place of one for each job."""

import threading

import structlog

log = structlog.get_logger(__name__)


class UnansweredCalls:
    """Remembers what was logged of each shop since its last answer. Safe to use from many threads.

    While Refer2 is out of reach, every attempt of every job fails alike: 30 rows wrote 26 lines in 0.1 s.
    """

    def __init__(self) -> None:
        self._reported: dict[str, set[tuple[str, str]]] = {}
        self._lock = threading.Lock()

    def report(self, event: str, *, shop: str, job_id: str, reason: str) -> None:
        """Log that a call had no answer: at WARNING the first time since the shop's last answer, then at DEBUG."""
        with self._lock:
            seen = self._reported.setdefault(shop, set())
            is_new = (event, reason) not in seen
            seen.add((event, reason))
        (log.warning if is_new else log.debug)(event, shop=shop, job_id=job_id, reason=reason)

    def answered(self, shop: str) -> None:
        """Note that a call of the shop was answered, whatever the answer was."""
        # Read without the lock, since this runs for every call: a failure that is noted meanwhile ends by the next one.
        if shop not in self._reported:
            return
        with self._lock:
            ended = self._reported.pop(shop, None)
        if ended:
            log.info("refer2_answers_again", shop=shop)
