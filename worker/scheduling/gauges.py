"""What a consumer shows of itself once a second, as gauges.

Runs on the consumer's thread.

Worker pods share shops, and each holds only what RabbitMQ has handed it: up to its prefetch of every shop. What a
process says of a shop's runnable jobs is therefore a bound that all share, never a part to be added up: the largest
value that any process shows is what the fleet could run of the shop. A sum over shops takes that maximum first.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from worker.clock import Clock
from worker.instants import SECOND
from worker.limits.token_bucket import next_reset
from worker.scheduling.gate import Gate
from worker.scheduling.gate_shop import Reason, ShopLoad
from worker.shops.config import ShopConfig
from worker.shops.registry import ShopRegistry
from worker.telemetry.metrics.process import Metrics, ShopView

FULL = 0.75
"""A process that holds this share of its prefetch is assumed to have more in the queue behind: the rest of the prefetch
is taken up by jobs whose confirms are on their way."""

WORKER_REASONS: tuple[Reason, ...] = ("store_down", "broker_blocked", "suppression")

STUCK_MARGIN = 60 * SECOND
"""Added to the longest call before a thread counts as stuck: it may also wait for a store that is out of reach."""


def runnable_jobs_per_second(rate: float, *, ready: int, in_flight: int, set_aside: int, prefetch: int) -> float:
    """How many jobs of an open shop could run in the next second if there were threads enough. Pure.

    ``rate`` is its pace in calls a second; ``ready`` jobs wait only for their shop, ``set_aside`` ones for their
    customers, ``in_flight`` ones are being called. A process whose hands are full has more behind it, so the pace
    decides; otherwise there is no more than what is ready here. Jobs that only wait for their customers need nothing.
    """
    if not ready and not in_flight:
        return 0.0
    if ready + in_flight + set_aside >= FULL * prefetch:
        return rate
    return min(rate, float(ready))


class Gauges:
    """Shows each shop and the process itself. Open shops without jobs cost nothing.

    ``stuck_after`` (microseconds) is how long a thread may be busy with one job before it counts as stuck. ``outside``
    names the shops that are outside of their windows.
    """

    def __init__(
        self,
        metrics: Metrics,
        clock: Clock,
        shops: ShopRegistry,
        gate: Gate[Any],
        *,
        outside: Callable[[int], Iterable[str]],
        prefetch: int,
        stuck_after: int,
    ) -> None:
        self._metrics = metrics
        self._clock = clock
        self._shops = shops
        self._gate = gate
        self._outside = outside
        self._prefetch = prefetch
        self._stuck_after = stuck_after
        self._intervals: dict[str, int] = {}
        self._calls: dict[str, tuple[int, int]] = {}
        self._out: dict[int, int] = {}

    def handed_out(self, job: object, arrived_at: int, now: int) -> None:
        """A worker thread gets the job, which came at ``arrived_at`` (0: not known)."""
        self._out[id(job)] = now
        if arrived_at:
            self._metrics.held_back.observe((now - arrived_at) / SECOND)

    def came_back(self, job: object) -> None:
        """The thread is done with the job, or has never started it."""
        self._out.pop(id(job), None)

    def called(self, shop: str, calls_today: int | None, now: int) -> None:
        """The store granted a call, the ``calls_today``-th since the reset of the shop's day."""
        if calls_today is not None:
            self._calls[shop] = (calls_today, now)

    def pace(self, shop: str, interval: int | None) -> None:
        """The shop's calls are ``interval`` microseconds apart at present; None: as the shops file says."""
        if interval is None:
            self._intervals.pop(shop, None)
        else:
            self._intervals[shop] = interval

    def show(self, now: int, *, threads: int, unconfirmed: int) -> None:
        """Show everything as it is at ``now``."""
        metrics = self._metrics
        loads = {load.shop: load for load in self._gate.loads()}
        metrics.show_shops(self._views(loads, now))
        metrics.show_capacity(threads)
        closed = self._gate.closed
        for reason in WORKER_REASONS:
            metrics.worker_closed.labels(reason).set(reason in closed)
        metrics.jobs_at_hand.labels("waiting").set(sum(load.ready for load in loads.values()))
        metrics.jobs_at_hand.labels("set_aside").set(sum(load.set_aside for load in loads.values()))
        metrics.jobs_at_hand.labels("handed_out").set(len(self._out))
        metrics.jobs_at_hand.labels("unconfirmed").set(unconfirmed)
        metrics.stuck_threads.set(sum(since < now - self._stuck_after for since in list(self._out.values())))
        # The probes compare it with the wall clock: after 120 s without a new value, `/livez` fails.
        metrics.pump_beat.set((now + self._clock.ahead()) / SECOND)

    def _views(self, loads: Mapping[str, ShopLoad], now: int) -> Iterator[ShopView]:
        outside = frozenset(self._outside(now))
        for shop in loads.keys() | self._calls.keys() | outside:
            config = self._shops.get(shop)
            if config is None:
                continue
            load = loads.get(shop)
            closed = frozenset(load.closed) - {"rate"} if load is not None else frozenset()
            runnable = 0.0
            if load is not None and not closed:
                runnable = runnable_jobs_per_second(
                    SECOND / self._intervals.get(shop, config.limits.shop.interval),
                    ready=load.ready,
                    in_flight=load.in_flight,
                    set_aside=load.set_aside,
                    prefetch=self._prefetch,
                )
            if shop in outside:
                # Also where other channels' jobs run: whoever asks why e-mails wait finds it here.
                closed |= {"window"}
            yield ShopView(shop, closed, runnable, self._quota_left(config, "day_quota" in closed, now))

    def _quota_left(self, shop: ShopConfig, spent: bool, now: int) -> int | None:
        if spent:
            return 0
        calls, at = self._calls.get(shop.slug, (None, 0))
        if calls is None:
            return None
        ahead = self._clock.ahead()
        if now + ahead >= next_reset(at + ahead, shop.limits.resets_at):
            # The day has turned while the shop had no jobs here, so no grant has said so.
            del self._calls[shop.slug]
            return shop.limits.shop_per_day
        return max(0, shop.limits.shop_per_day - calls)
