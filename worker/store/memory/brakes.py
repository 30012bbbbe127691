"""The last results of campaigns that have a brake, as lua/settle.lua counts them."""

from collections import Counter, deque
from typing import NamedTuple

from worker.model.campaign_orders import Brake
from worker.store.braking import is_over


class Tripped(NamedTuple):
    """How many of the last results are bad, the code that most of them have, and how many have it."""

    bad: int
    code: str
    of_code: int


class LastResults:
    """The last results of a campaign at a shop since its brake was armed; a good one counts as an empty code."""

    def __init__(self, brake: Brake) -> None:
        self.armed = brake.armed
        self._codes: deque[str] = deque(maxlen=brake.window)
        self._bad = 0

    def count(self, code: str, brake: Brake) -> Tripped | None:
        """Count a result; says so if it trips the brake, or if the brake has tripped before and nobody obeyed."""
        if len(self._codes) == brake.window:
            self._bad -= bool(self._codes[0])
        self._codes.append(code)
        self._bad += bool(code)
        if len(self._codes) < brake.window or not is_over(self._bad, brake):
            return None
        ((leading, number),) = Counter(filter(None, self._codes)).most_common(1)
        return Tripped(self._bad, leading, number)
