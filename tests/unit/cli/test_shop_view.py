"""Why a shop is closed, where it is outside of its hours."""

from dataclasses import replace

from tests.unit.making import NOON, make_shop
from worker.cli.shop_view import gate_of, reserve_data, reserve_line
from worker.instants import SECOND
from worker.model.controls import Controls
from worker.store.shop_state import ShopState

HOUR = 3600 * SECOND
IDLE = ShopState(NOON, SECOND, blocked_until=0, calls_today=0, closure=None)
SPENT = ShopState(NOON, SECOND, blocked_until=0, calls_today=10**9, closure=None)


def test_the_next_opening_is_shown() -> None:
    """With the channels that wait for it; within the hours the shop is open."""
    shop = make_shop(window="Mon-Fri 14:00-18:00 UTC")
    gate = gate_of(IDLE, "acme", shop, Controls())
    assert (gate.gate, gate.until) == ("window", NOON + 2 * HOUR)
    assert gate.note == "window (email), until 2026-11-02 14:00:00 UTC"
    assert gate.opens_by_itself
    assert not gate.needs_a_person
    assert gate_of(IDLE, "acme", make_shop(window="09:00-18:00 UTC"), Controls()).gate == "open"


def test_a_reserve_is_told_with_its_figures() -> None:
    """What is kept of the hours that are left, less what urgent jobs had; a shop that has no more than that is closed
    to the others.
    """
    # NOON is half a day before the reset, so that half of it is left.
    shop = make_shop(per_second=10.0, burst=10, per_day=1000, reserve_per_day=200, reserve_per_second=2.0)
    state = replace(IDLE, calls_today=700, urgent_today=20)
    reserve = reserve_data(shop, state)
    assert reserve == {"burst": 2, "per_day": 200, "kept_today": 100, "used_today": 20}
    assert reserve_line("acme", reserve) == (
        "acme keeps 100 of today's calls (of 200 a day) and 2 at once for urgent jobs, which had 20 calls today"
    )
    assert gate_of(state, "acme", shop, Controls()).gate == "open"
    assert reserve_data(shop, replace(state, urgent_today=150)) == {**reserve, "kept_today": 50, "used_today": 150}
    closed = gate_of(replace(state, calls_today=901), "acme", shop, Controls())
    assert (closed.gate, closed.opens_by_itself) == ("reserve", True)
    assert NOON < closed.until <= NOON + HOUR
    assert gate_of(replace(state, calls_today=1000), "acme", shop, Controls()).gate == "day_quota"
    assert reserve_data(make_shop(), state) is None


def test_what_ends_last_decides() -> None:
    tonight = make_shop(window="Mon-Fri 14:00-18:00 UTC")
    assert gate_of(SPENT, "acme", tonight, Controls()).gate == "day_quota"
    tomorrow = make_shop(window="Tue 14:00-18:00 UTC", window_channels=["*"])
    gate = gate_of(SPENT, "acme", tomorrow, Controls())
    assert gate.note == "window (all channels), until 2026-11-03 14:00:00 UTC"
