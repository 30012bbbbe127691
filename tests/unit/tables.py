"""Tables of known outcomes of token buckets, as public limiters document and test theirs."""

from typing import NamedTuple


class Row(NamedTuple):
    """``tokens`` are asked for together at ``seconds``: all are taken or none.

    ``left`` is what the bucket then holds, None where none was taken; ``retry`` is in how many seconds as many would
    be there, None for never.
    """

    seconds: float
    tokens: int
    left: int | None
    retry: float | None = None


ONE_A_SECOND_BURST_FIVE: tuple[Row, ...] = (
    Row(0.0, 6, None),
    Row(0.0, 1, 4),
    Row(0.0, 1, 3),
    Row(0.0, 1, 2),
    Row(0.0, 1, 1),
    Row(0.0, 1, 0),
    Row(0.0, 1, None, 1.0),
    Row(3.0, 1, 2),
    Row(3.1, 1, 1),
    Row(4.0, 1, 1),
    Row(8.0, 1, 4),
    Row(9.5, 1, 4),
    Row(9.5, 2, 2),
    Row(9.5, 5, None, 3.0),
)

TEN_A_SECOND: dict[int, tuple[tuple[int, str], ...]] = {
    1: ((0, "1Y 1N 1N"), (1, "1Y 1N 1N"), (2, "2N 1Y 1N")),
    3: ((0, "2Y 2N 1Y 1N"), (1, "4N"), (2, "1Y"), (3, "1Y"), (4, "1Y 1Y 1N 1N"), (9, "3Y 0Y")),
}
"""By burst: (tenths of a second, tokens asked for together and whether all of them are there)."""

CALLERS, RATE_OF_CALLERS, BURST_OF_CALLERS = 15, 1, 5
"""So many callers at one instant: exactly the burst goes through."""

INSTANTS_MS: tuple[int, ...] = (0, 12_345, 10**6, 10**9, 1_700_000_000_000, 1_787_486_223_173)
LIMITS: tuple[int, ...] = (1, 2, 3, 7, 97, 1000, 3000)
"""At each of these instants exactly as many go through as the limit of a second."""


def tenths(word: str) -> tuple[int, bool]:
    """The tokens of an entry like ``2N``, and whether they are there."""
    return int(word[:-1]), word[-1] == "Y"
