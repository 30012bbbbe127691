"""Why a shop is closed, where it is outside of its hours."""

from tests.unit.making import NOON, make_shop
from worker.cli.shop_view import gate_of
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
    assert gate.note == "window (email), until 2026-11-02T14:00:00+00:00"
    assert gate.opens_by_itself
    assert not gate.needs_a_person
    assert gate_of(IDLE, "acme", make_shop(window="09:00-18:00 UTC"), Controls()).gate == "open"


def test_what_ends_last_decides() -> None:
    tonight = make_shop(window="Mon-Fri 14:00-18:00 UTC")
    assert gate_of(SPENT, "acme", tonight, Controls()).gate == "day_quota"
    tomorrow = make_shop(window="Tue 14:00-18:00 UTC", window_channels=["*"])
    gate = gate_of(SPENT, "acme", tomorrow, Controls())
    assert gate.note == "window (all channels), until 2026-11-03T14:00:00+00:00"
