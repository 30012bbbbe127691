"""Which processes are given a slow shop's jobs first, by the priorities of their consumers.

Dealt to all in turn, a short queue leaves one job in each process, and every one of them asks the store twice: to learn
its turn, and for its token. A process that has several jobs learns its next turn with its token. So each process draws
a priority for each queue, and the broker fills those of a high one first, up to their prefetch.

Pure: no I/O, no clock, no thread. Runs on the consumer's thread.
"""

from collections import defaultdict
from random import Random

from worker.shops.config import ShopConfig
from worker.store.timing import SHORTEST_TURN

STEP = 5_500
MOST = 20
"""There is a priority for each 5.5 ms between a shop's calls, 20 at the most: of 200 processes some 18 are filled first
for a shop at 16/s, 10 for one at 9/s or slower. With fewer, 5,000 shops on 200 processes ask more than 1.5 times a
call; with more for a shop at 16/s, processes that have much to do keep some shops waiting."""


class Priorities:
    """A process's draws. ``shuffle`` makes them; None where no other process has a consumer: then all are alike."""

    def __init__(self, shuffle: Random | None, *, threads: int, prefetch: int) -> None:
        self._shuffle = shuffle
        self._threads = threads
        self._prefetch = prefetch
        self._decks: defaultdict[int, list[int]] = defaultdict(list)

    def draw(self, shop: ShopConfig) -> int:
        """The priority of a consumer of the shop's queue; higher goes first.

        0 for all processes where a turn finds several tokens, or where a process can't call half of its prefetch at
        once: there they share a queue evenly, since its calls would be too many for a few.
        """
        interval = shop.limits.shop.interval
        at_once = min(self._threads, shop.max_in_flight)
        if self._shuffle is None or interval < SHORTEST_TURN or 2 * at_once < self._prefetch:
            return 0
        priorities = min(interval // STEP, MOST)
        # Dealt from a deck, so that a process has as many of each as any other. Drawn freely, the unlucky ones had a
        # shop of 1,000 get 71 % of its pace in place of 89 %, on 200 processes and with 16 priorities.
        deck = self._decks[priorities]
        if not deck:
            deck.extend(range(priorities))
            self._shuffle.shuffle(deck)
        return deck.pop()
