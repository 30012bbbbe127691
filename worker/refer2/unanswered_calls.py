"""What is logged of calls without an answer: one line for each shop and way of failing, not one for each job."""

import threading

import structlog

log = structlog.get_logger(__name__)


class UnansweredCalls:
    """Remembers what has been told of each shop since its last answer. Safe to use from many threads.

    While Refer2 is out of reach every job of every attempt fails alike: 30 rows wrote 26 lines in 0.1 s.
    """

    def __init__(self) -> None:
        self._reported: dict[str, set[tuple[str, str]]] = {}
        self._lock = threading.Lock()

    def report(self, event: str, *, shop: str, job_id: str, reason: str) -> None:
        """Log that a call had no answer: at WARNING if the shop's calls have not failed so since its last answer."""
        with self._lock:
            told = self._reported.setdefault(shop, set())
            is_new = (event, reason) not in told
            told.add((event, reason))
        (log.warning if is_new else log.debug)(event, shop=shop, job_id=job_id, reason=reason)

    def answered(self, shop: str) -> None:
        """A call of the shop was answered, whatever the answer."""
        if shop not in self._reported:
            return
        with self._lock:
            ended = self._reported.pop(shop, None)
        if ended:
            log.info("refer2_answers_again", shop=shop)
