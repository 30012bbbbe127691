"""The addresses of suppression lists, beyond what fits into one sorted run."""

from worker.campaigns.presets import suppression
from worker.campaigns.presets.suppression import Suppressed


def test_addresses_of_many_runs() -> None:
    """Every address is found with its reason, however many there are; that it can't be reached is told first."""
    number = 600_000
    assert number > suppression.MOST // 40
    suppressed = Suppressed()
    for index in range(number):
        suppressed.add(f"person{index}@example.com", "unsubscribed")
    suppressed.add("person7@example.com", "suppressed")
    suppressed.seal()
    assert len(suppressed) == number + 1
    assert suppressed.reason("", "PERSON7@Example.com") == "suppressed"
    assert suppressed.reason(f"person{number - 1}@example.com") == "unsubscribed"
    assert suppressed.reason("nobody@example.com", f"person{number}@example.com", "") is None
