"""How a contestant of ``limits`` came through, by the API's own record of its calls."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from scripts.programs.benchmarks.stamps import most_within
from worker.instants import SECOND

SHOPS = 10
QUIET_SHOPS = 2
QUIET_JOBS = 4
PER_SECOND = 20
BURST = 20
"""The API's: a second's worth."""

OK, REFUSED = 200, 429


@dataclass(frozen=True)
class Passage:
    """How one contestant came through. ``used`` is the worst shop's part of its quota; ``most`` the calls in the worst
    second of a shop; ``held`` how long the API delayed a call, on average; ``quiet`` a quiet job's seconds to its call.
    """

    used: float
    calls_a_job: float
    refused: float
    most: float
    held: float
    quiet: Sequence[float]
    missing: float


def judged(
    calls: list[dict[str, Any]], shops: Sequence[str], of_each: int, between: tuple[int, int], missing: int
) -> Passage:
    """What the API's own record of the calls shows. ``between``: when the quiet jobs were sent, and when it ended."""
    sent_at, ended_at = between
    arrived: dict[str, list[int]] = {shop: [] for shop in shops}
    carried_out: dict[str, list[int]] = {shop: [] for shop in shops}
    for call in calls:
        arrived[call["shop"]].append(call["arrived_at"])
        if call["status"] == OK:
            carried_out[call["shop"]].append(call["arrived_at"] + round(call.get("delayed_seconds", 0) * SECOND))
    began = min(at for times in arrived.values() for at in times)

    def used(shop: str) -> float:
        its = carried_out[shop]
        last = max(its) if len(its) >= of_each else ended_at
        return (len(its) - 1) * SECOND / PER_SECOND / (last - began)

    # One that was not called waits until the end at least.
    quiet = [carried_out[shop] + [ended_at] * (QUIET_JOBS - len(carried_out[shop])) for shop in shops[:QUIET_SHOPS]]
    return Passage(
        used=min(map(used, shops[QUIET_SHOPS:])),
        calls_a_job=len(calls) / (of_each * (len(shops) - QUIET_SHOPS) + QUIET_SHOPS * QUIET_JOBS),
        refused=sum(call["status"] == REFUSED for call in calls),
        most=max(most_within(times, SECOND) for times in arrived.values()),
        held=sum(call.get("delayed_seconds", 0) for call in calls) / len(calls),
        quiet=[(at - sent_at) / SECOND for its in quiet for at in its],
        missing=missing,
    )
