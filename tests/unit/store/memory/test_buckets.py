"""What the memory store's buckets keep, and for how long; what they decide is tested on both stores together."""

from tests.unit.making import NOON, make_limits, make_request
from worker.instants import DAY
from worker.limits.token_bucket import Rate
from worker.store.memory.buckets import Buckets, Charge


def test_customers_are_forgotten() -> None:
    """Customers whose bucket is full again take no memory, also while others are blocked for hours."""
    buckets = Buckets(lambda: 0, horizon=0)
    limits = make_limits(customer=Rate.per_second(2, 2))
    for number in range(5):
        buckets.block("acme", f"e:blocked{number}", NOON + DAY)
    for number in range(2000):
        request = make_request(number, customer=f"e:{number}", limits=limits)
        assert isinstance(buckets.charge(request, NOON + number * 10_000, turn=False, holds=1), Charge)
    assert len(buckets.shop("acme").customers) < 150
