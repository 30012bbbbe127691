"""Notes in the journal what becomes of grants, and in the run's state which shops an answer has closed.

Runs on the consumer's thread.
"""

from collections.abc import Callable, Sequence

from worker.embedded.state import RunState
from worker.errors import ReferralError
from worker.model.dispositions import Later
from worker.scheduling.breaker import BreakerOpen, Cause
from worker.scheduling.context import Context
from worker.scheduling.delivery import Delivery
from worker.store.protocol import Grant

HICCUPS: dict[Cause, int] = {"unlisted_code": 0, "halted": 1, "breaker": 3}
"""Closures in a row that a shop's answers may cause before a person has to act. A refusal is reported at the second; an
upstream that fails, or is out of reach, has half a minute to come back."""

HICCUPS_OF_A_GOOD_TOKEN = 3
"""The same while Status2 takes the shop's token: by then nine jobs have been tried, or the last one is known to be
what is refused."""


def noted(context: Context, state: RunState, line: Callable[[], None]) -> bool:
    """Write something down; where that fails the run ends, since no call may start that nobody has noted."""
    try:
        line()
    except ReferralError as error:
        context.stopping.set()
        state.fail(error)
        return False
    return True


class RunObserver:
    """Implements :class:`worker.scheduling.port.Observer`."""

    def __init__(self, context: Context, state: RunState) -> None:
        self._context = context
        self._state = state

    def granted(self, delivery: Delivery, grant: Grant) -> None:
        ahead = self._context.clock.ahead()
        self._note(lambda: self._state.journal.started(delivery.request, grant, ahead))

    def released(self, delivery: Delivery, grant: Grant, *, called: bool) -> None:
        self._note(lambda: self._state.journal.released(delivery.request, grant, called=called))

    def repeated(self, delivery: Delivery, grant: Grant, later: Later) -> None:
        ahead = self._context.clock.ahead()
        self._note(lambda: self._state.journal.repeated(delivery.request, grant, later, ahead))

    def shops_closed(self, shops: Sequence[str], opening: BreakerOpen) -> None:
        """A shop that has been closed too often in a row is left to a person; see :data:`HICCUPS`."""
        if opening.in_a_row > (HICCUPS_OF_A_GOOD_TOKEN if opening.token_taken else HICCUPS[opening.cause]):
            # For the rest of the run: its jobs are parked for a later one, by which time a person has acted.
            self._state.halted.update(dict.fromkeys(shops, opening.code))
            if not self._state.patient:
                return
        if opening.cause == "breaker":
            self._state.failing = (opening.code, opening.until)

    def _note(self, line: Callable[[], None]) -> None:
        noted(self._context, self._state, line)
