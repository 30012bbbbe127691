"""What `publish` holds back: the rest of an export, or all of it until a time. It goes into the shops' held lanes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from worker.errors import UsageError

if TYPE_CHECKING:
    from datetime import datetime

    from worker.model.lanes import Lane
    from worker.model.orders import Origin
    from worker.rabbitmq.connection import Parameters
    from worker.settings import Settings
    from worker.store.protocol import Store

FARTHEST_START = timedelta(days=366)
"""Longer than any campaign is planned ahead; beyond it is a mistyped year."""

HEARD_WITHIN = 2.0
"""Seconds in which every worker has surely heard of an order; they ask once a second."""


class HeldBack:
    """Which lane each job goes into. ``held`` counts those that wait."""

    def __init__(self, first: int | None, store: Store | None, params: Parameters | None) -> None:
        self._first = first
        self._store = store
        self._params = params
        self._lanes: set[str] = set()
        self.held = 0

    def lane_of(self, number: int, shop: str) -> Lane:
        """The lane of the job of this number. The first that is held of a shop has its lane declared and listed.

        Raises:
          BrokerError, ConfigurationError: the lane can't be declared.
          StoreError: the workers can't be told of it.
        """
        if self._first is None or number <= self._first:
            return "bulk"
        self.make_lane(shop)
        self.held += 1
        return "held"

    def make_lane(self, shop: str) -> None:
        """Have the shop's lane declared and listed, unless that was done before. Raises what :meth:`lane_of` does."""
        if shop in self._lanes:
            return
        from worker.model.lanes import ShopLane
        from worker.rabbitmq.lane_making import make_lanes

        assert self._store is not None
        assert self._params is not None
        # Before its first job: a worker consumes only lanes that the store lists.
        make_lanes(self._params, [ShopLane(shop, "held")], self._store)
        self._lanes.add(shop)


@contextmanager
def holding_back(
    loaded: Settings,
    params: Parameters,
    campaign: str,
    shop: str | None,
    given: Origin,
    *,
    first: int | None,
    not_before: datetime | None,
) -> Iterator[HeldBack]:
    """Order what is to be held before the first job is published, as ``--first`` and ``--not-before`` say.

    For ``shop`` alone where the export is one shop's: another may have a campaign of that name.

    Raises:
      StoreError, ConfigurationError: the workers' store can't be told of it; nothing was published.
      BrokerError: the shop's lane can't be declared; nothing was ordered or published.
    """
    if first is None and not_before is None:
        yield HeldBack(None, None, None)
        return
    from worker.cli.campaign_lookup import named
    from worker.cli.store import shared_store
    from worker.instants import from_datetime, utc_text
    from worker.model.campaign_orders import Hold
    from worker.model.controls import EVERY_SHOP

    if not_before is None:
        rest, detail = Hold("first", given.reason, 0), f"first {first:,}"
    else:
        rest = Hold("start", given.reason, 0, from_datetime(not_before))
        detail = f"not before {utc_text(from_datetime(not_before))}"
    with shared_store(loaded, "publish --first" if not_before is None else "publish --not-before") as store:
        back = HeldBack(first or 0, store, params)
        if shop is not None:
            # Now, so that a user who may not is refused before anything is ordered. Other shops are not known yet.
            back.make_lane(shop)
        key = (named(campaign), shop or EVERY_SHOP)
        before = store.controls().campaigns.get(key)
        store.publish_campaign(*key, given, rest=rest, brake=None, detail=detail)
        # Where the lane exists already, a worker that has not heard of the order yet would call what comes by it.
        time.sleep(HEARD_WITHIN)
        try:
            yield back
        finally:
            if back.held:
                _look_again(store, *key, given)
            elif before is None or before.rest is None:
                # Nothing waits for a release, so that nobody would give one.
                store.release_campaign(*key, given)


def _look_again(store: Store, campaign: str, shop: str, given: Origin) -> None:
    # Let go while it was being published: workers have looked through the lane by then, and what came later may be
    # behind jobs of other campaigns that rest there.
    from worker.clock import SystemClock

    order = store.controls().campaigns.get((campaign, shop))
    if order is None or order.rest is None or order.rest.until <= SystemClock().now():
        store.release_campaign(campaign, shop, given)


def check_held_back(
    loaded: Settings, first: int | None, not_before: datetime | None, *, expires: datetime | None, now: datetime
) -> None:
    """Check the options before anything is done.

    Raises:
      UsageError: they can't be meant together or at all, or this producer may not declare the lane.
    """
    if first is not None and not_before is not None:
        raise UsageError("--first: can't be combined with --not-before; keep one of them")
    if not_before is not None and not_before > now + FARTHEST_START:
        raise UsageError(f"--not-before {not_before:%Y-%m-%d}: is more than {FARTHEST_START.days} days away")
    if not_before is not None and expires is not None and expires <= not_before:
        raise UsageError("--expires: lies before the start that --not-before names, so that no job would be called")
    # No risk, but in vain: a producer's own exchange leads to no held lane, which such a user can't declare either.
    if first is not None and loaded.producer is not None:
        raise UsageError(
            "--first: needs a user who may declare queues, without REFERRALS_PRODUCER; or give --limit in its place, "
            "and publish all of it once you have looked at the results: nobody is called twice"
        )
    if not_before is not None and loaded.producer is not None:
        raise UsageError(
            "--not-before: needs a user who may declare queues, without REFERRALS_PRODUCER; or give `referrals "
            "campaigns pause` before you publish, and `resume` at that time"
        )
