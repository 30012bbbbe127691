"""Asks Refer2 whether it accepts the tokens of halted shops again, on a thread of its own.

A question may take as long as a call (23 s by default), and the consumer's thread must not wait for it.
"""

import queue
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from worker.errors import raised_at
from worker.instants import SECOND
from worker.model.verdicts import Halted, Unknown, Verdict, label_of
from worker.shops.config import ShopConfig

GRACE = 5 * SECOND
"""A halted shop stays closed so much longer than its pause, for the question about its token; then a job probes it."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Finding:
    """The answer about a shop's token. ``refused`` is the verdict that its calls would get.

    It is None where a call should be tried: the token is ``taken`` (accepted), or nothing was found out.
    """

    shop: str
    fingerprint: str
    refused: Halted | None
    taken: bool


class TokenProbe:
    """Asks one question at a time, each once its shop's pause is over. The thread starts with the first question.

    ``status`` asks about a shop's token (None: accepted) and may block for the longest call; it and ``wake``, which
    reports a finding, are called on the probe's thread. The methods are for the consumer's thread and never block.
    """

    def __init__(self, status: Callable[[ShopConfig], Verdict | None], wake: Callable[[], None]) -> None:
        self._status = status
        self._wake = wake
        self._due: dict[str, int] = {}
        self._asking: tuple[str, int] | None = None
        self._questions: queue.SimpleQueue[ShopConfig | None] = queue.SimpleQueue()
        self._findings: deque[Finding] = deque()
        self._thread: threading.Thread | None = None

    def watch(self, shop: str, until: int) -> None:
        """The shop is halted: ask about its token from ``until`` on."""
        self._due[shop] = until

    def forget(self, shop: str) -> None:
        """The shop is not halted any more: drop the question, and a finding about it."""
        self._due.pop(shop, None)

    def ask_next(self, now: int, shop_of: Callable[[str], ShopConfig | None]) -> str | None:
        """Ask the next question that is due, unless one is under way; returns the shop that it is about."""
        if self._asking is not None:
            return None
        due = [(until, slug) for slug, until in self._due.items() if until <= now]
        if not due:
            return None
        until, slug = min(due)
        config = shop_of(slug)
        if config is None:
            self.forget(slug)
            return None
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="prober", daemon=True)
            self._thread.start()
        self._asking = (slug, until)
        self._questions.put(config)
        return slug

    @property
    def has_finding(self) -> bool:
        """Whether :meth:`take` has something."""
        return bool(self._findings)

    def take(self) -> Finding | None:
        """The next finding; None where its shop has been opened or halted again since. The question is done."""
        if not self._findings:
            return None
        finding = self._findings.popleft()
        # A shop that was opened and halted again meanwhile is due at another time: then the finding is out of date.
        asked, self._asking = self._asking, None
        if (finding.shop, self._due.get(finding.shop)) != asked:
            return None
        del self._due[finding.shop]
        return finding

    def close(self) -> None:
        """End the thread after the question that is under way, without waiting for it."""
        self._questions.put(None)

    def _run(self) -> None:
        while (shop := self._questions.get()) is not None:
            verdict = self._ask(shop)
            # A page in place of an answer says nothing about the token, and Refer2 itself may well answer calls.
            refused = verdict if isinstance(verdict, Halted) else None
            log.info("shop_probed", shop=shop.slug, answer="ok" if verdict is None else label_of(verdict))
            self._findings.append(Finding(shop.slug, shop.credential.fingerprint, refused, verdict is None))
            self._wake()

    def _ask(self, shop: ShopConfig) -> Verdict | None:
        try:
            return self._status(shop)
        except Exception as error:  # noqa: BLE001 - a thread that ended would leave every halted shop unasked
            log.error("probe_failed", shop=shop.slug, error=type(error).__name__, where=raised_at(error))
            return Unknown(None, "unreadable_answer")
