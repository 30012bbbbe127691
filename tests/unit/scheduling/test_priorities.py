"""Which processes are given a slow shop's jobs first."""

from collections import Counter
from random import Random

from tests.unit.making import make_shop
from worker.scheduling.priorities import MOST, Priorities
from worker.shops.config import ShopConfig

SLOW = make_shop("slow", per_second=2.0)


def _draws(shop: ShopConfig, number: int, *, seed: int = 1, threads: int = 16) -> list[int]:
    priorities = Priorities(Random(seed), threads=threads, prefetch=16)
    return [priorities.draw(shop) for _ in range(number)]


def test_a_process_has_as_many_of_each_priority_as_any_other() -> None:
    """There are more for a slower shop, and each deck is dealt to its end."""
    priorities = Priorities(Random(1), threads=16, prefetch=16)
    for per_second, most in ((20.0, 9), (12.5, 14), (2.0, MOST)):
        shop = make_shop("acme", per_second=per_second)
        assert Counter(priorities.draw(shop) for _ in range(3 * most)) == dict.fromkeys(range(most), 3)


def test_processes_draw_differently() -> None:
    """Each shop has other processes that go first."""
    assert _draws(SLOW, MOST, seed=1) != _draws(SLOW, MOST, seed=2)


def test_all_are_alike_where_a_few_could_not_make_the_calls() -> None:
    """At a fast shop, and with few calls at once, by the threads or by the shop's own bound."""
    assert set(_draws(make_shop("fast", per_second=21.0), 50)) == {0}
    assert set(_draws(SLOW, 50, threads=7)) == {0}
    assert set(_draws(make_shop("heavy", per_second=2.0, max_in_flight=7), 50)) == {0}
    assert len(set(_draws(SLOW, 50, threads=8))) == MOST


def test_one_process_draws_nothing() -> None:
    """There is no other to be told from."""
    assert {Priorities(None, threads=16, prefetch=16).draw(SLOW) for _ in range(50)} == {0}
