"""How long calls took: percentiles and a histogram, in bounded memory. Pure."""

import math
from bisect import bisect_right
from collections import Counter
from typing import Final

BOUNDS: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0)
"""Seconds at which the bars of the histogram end. Refer2 holds a call that exceeds its limits back for up to 5 s, and
by default a call is given up after 20 s."""

_SHORTEST, _LONGEST = 1e-6, 1e6


class Latency:
    """Counts latencies in seconds, rounded to three digits: at most 900 of them for each power of ten."""

    def __init__(self) -> None:
        self._rounded: Counter[float] = Counter()
        self._bars = [0] * (len(BOUNDS) + 1)

    def add(self, seconds: float) -> None:
        """Count a latency."""
        self._bars[bisect_right(BOUNDS, seconds)] += 1
        self._rounded[_rounded(min(max(seconds, _SHORTEST), _LONGEST))] += 1

    @property
    def count(self) -> int:
        """How many were counted."""
        return sum(self._bars)

    def percentile(self, share: float) -> float | None:
        """The shortest latency that at least this share of all (0 to 1) doesn't exceed; None if there is none.

        It is wrong by 0.5 % at most, since it is rounded to three digits.
        """
        rank = max(1, math.ceil(share * self.count))
        for seconds, number in sorted(self._rounded.items()):
            rank -= number
            if rank <= 0:
                return seconds
        return None

    def bars(self) -> list[tuple[float, float | None, int]]:
        """From how many seconds, to below how many (None: without end), and how many calls took that long."""
        return list(zip((0.0, *BOUNDS), (*BOUNDS, None), self._bars, strict=True))


def _rounded(seconds: float) -> float:
    # By hand in place of formatting and parsing, which takes four times as long.
    digits = 2 - math.floor(math.log10(seconds))
    return round(seconds, digits)
