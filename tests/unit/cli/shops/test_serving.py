"""Which shops no worker takes jobs from."""

import pytest

from tests.unit.making import NOON
from worker.cli.shop_view import GateView
from worker.cli.shops.serving import unserved
from worker.instants import SECOND

SOON = NOON + 10 * SECOND
LATER = NOON + 3600 * SECOND

OPEN = GateView("open")


@pytest.mark.parametrize(
    ("gate", "told"),
    [
        pytest.param(OPEN, True, id="open"),
        pytest.param(GateView("throttled", until=SOON), True, id="closed for a moment"),
        pytest.param(GateView("halted", code="invalid_token", until=NOON - SECOND), True, id="nobody tried again"),
        pytest.param(GateView("halted", code="invalid_token", until=LATER), False, id="halted"),
        pytest.param(GateView("day_quota", until=LATER), False, id="the day is spent"),
        pytest.param(GateView("paused", reason="wrong texts", since=NOON), False, id="paused"),
        pytest.param(GateView("?"), False, id="not known"),
    ],
)
def test_a_worker_leaves_the_queue_of_a_closed_shop(gate: GateView, told: bool) -> None:
    """A queue without a consumer proves that nobody takes its jobs, unless the shop stays closed for long; where an
    open shop has none, and no shop any, no worker is there for the closed ones either.
    """
    assert unserved({"acme": gate}, {"acme": 0}, NOON) == (["acme"] if told else [])
    assert unserved({"acme": gate}, {"acme": 2}, NOON) == []
    assert unserved({"acme": gate}, {}, NOON) == []
    assert unserved({"acme": gate, "bolt": OPEN}, {"acme": 0, "bolt": 1}, NOON) == (["acme"] if told else [])
    assert unserved({"acme": gate, "bolt": OPEN}, {"acme": 0, "bolt": 0}, NOON) == ["acme", "bolt"]
