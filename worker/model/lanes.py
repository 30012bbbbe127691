"""The lanes of a shop: queues of its jobs that are taken in this order, the first that has a job before the next.

Their names follow from the shop's alone, so they are found again whatever else is lost.
"""

from typing import Literal, NamedTuple

from worker.model.names import SLUG

Lane = Literal["urgent", "held", "paced", "paced.2", "paced.3", "paced.4", "bulk"]

PACED_LANES: tuple[Lane, ...] = ("paced", "paced.2", "paced.3", "paced.4")
"""What is over its campaign's pace, by campaign: see :meth:`worker.model.controls.Controls.lane_of_pace`. One lane is
enough for one campaign. Behind 5,000 jobs of a campaign at one call a second, one at 20 a second had none for an hour.
"""

ASIDE: frozenset[Lane] = frozenset({"held", *PACED_LANES})
"""Into which only workers, and publishers that hold something back, put jobs."""

EXTRA_LANES: tuple[Lane, ...] = ("urgent", "held", *PACED_LANES)
"""The lanes that a shop has only once somebody needs them. Bulk is every shop's own queue."""

LANES: tuple[Lane, ...] = (*EXTRA_LANES, "bulk")
"""In the order in which a shop's jobs are taken: urgent ones, what an operator had held, what was over its campaign's
pace, everything else.

Held and paced are apart, since a lane is a line: behind jobs that wait for an order, those that may go would wait too.
"""


class ShopLane(NamedTuple):
    """One lane of one shop."""

    shop: str
    lane: Lane = "bulk"

    @property
    def key(self) -> str:
        """``<shop>`` for bulk, else ``<shop>.urgent`` and so on: its routing key, and how it is named elsewhere."""
        # No slug has a dot.
        return self.shop if self.lane == "bulk" else f"{self.shop}.{self.lane}"

    @classmethod
    def of_key(cls, key: str) -> "ShopLane | None":
        """The lane of that routing key; None where it is no lane's."""
        shop, dot, word = key.partition(".")
        if not SLUG.fullmatch(shop):
            return None
        if not dot:
            return cls(shop)
        return next((cls(shop, lane) for lane in EXTRA_LANES if lane == word), None)
