"""When calling a shop is pointless: its answers in a row decide. Pure; the time is an argument."""

from dataclasses import dataclass
from typing import Literal

from worker.clock import SECOND
from worker.verdicts import Halted, Rejected, Retry, Sent, Throttled, Unknown, Verdict

FAILURES_IN_A_ROW = 10
"""Calls in a row that the upstream failed before the shop is closed: one bad job is not an outage."""

UNLISTED_IN_A_ROW = 50
"""Rejections in a row with one code that nobody documents: a campaign that a shop's rule turns down as a whole."""

FIRST_PAUSE = 5 * SECOND
LONGEST_PAUSE = 300 * SECOND

Cause = Literal["halted", "breaker", "unlisted_code"]

CAUSES: tuple[Cause, ...] = ("halted", "breaker", "unlisted_code")


@dataclass(frozen=True, slots=True)
class Pause:
    """Close the shop (every shop, if ``every_shop``) until ``until``; then let one job at a time probe.

    ``in_a_row`` counts the pauses since the shop last gave a good answer, this one included.
    """

    cause: Cause
    until: int
    code: str
    in_a_row: int
    every_shop: bool = False


@dataclass(frozen=True, slots=True)
class Resume:
    """The shop answers again."""


class Breaker:
    """Watches one shop's verdicts. Each pause in a row is twice as long as the one before, up to five minutes."""

    def __init__(self) -> None:
        self._failures = 0
        self._unlisted = 0
        self._unlisted_code = ""
        self._pauses = 0
        self._until = 0

    def record(self, verdict: Verdict, now: int) -> Pause | Resume | None:
        """What the verdict changes. Calls that were under way when a pause began don't lengthen it."""
        match verdict:
            # The latter was not called: it tells nothing of how calls fare.
            case Throttled() | Rejected(status=None):
                return None
            case Halted(code=code, every_shop=every_shop):
                return self._pause("halted", code, now, every_shop=every_shop)
            case Retry(code=code) | Unknown(code=code):
                self._failures += 1
                return self._pause("breaker", code, now) if self._failures >= FAILURES_IN_A_ROW else None
            case Rejected(listed=False, code=code):
                self._failures = 0
                self._unlisted = self._unlisted + 1 if code == self._unlisted_code else 1
                self._unlisted_code = code
                if self._unlisted >= UNLISTED_IN_A_ROW:
                    return self._pause("unlisted_code", code, now)
                return self._answers_again()
            case Sent() | Rejected():
                return self.reset()

    def reset(self) -> Resume | None:
        """Forget what went wrong, after a good answer or a changed credential."""
        self._failures = self._unlisted = 0
        return self._answers_again()

    def _answers_again(self) -> Resume | None:
        if not self._pauses:
            return None
        self._pauses = 0
        self._until = 0
        return Resume()

    def join(self, pause: Pause) -> None:
        """Another shop's answers paused this one too; its own next good answer ends that."""
        self._pauses = max(self._pauses, 1)
        self._until = max(self._until, pause.until)

    def _pause(self, cause: Cause, code: str, now: int, *, every_shop: bool = False) -> Pause | None:
        if now < self._until:
            return None
        length = min(FIRST_PAUSE << min(self._pauses, 10), LONGEST_PAUSE)
        self._pauses += 1
        self._until = now + length
        return Pause(cause, self._until, code, self._pauses, every_shop)
