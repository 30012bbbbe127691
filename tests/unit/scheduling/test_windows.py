"""Jobs outside of their windows: they wait out of the way, and none starts by a clock that was corrected."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.unit.making import NOON, make_job, make_shop
from tests.unit.scheduling.test_loop import TIMEOUT, Bench
from worker.instants import SECOND, to_datetime
from worker.model.dispositions import Return
from worker.model.job import Job
from worker.model.windows import MARGIN
from worker.scheduling.delivery import Delivery
from worker.scheduling.looks import FIRST, LONGEST, SETTLED
from worker.shops.registry import ShopRegistry

HOUR = 3600 * SECOND

AFTERNOON = "Mon-Fri 14:00-18:00 UTC"
EVENING = "Mon-Fri 18:00-20:00 UTC"
MORNING = "Mon-Fri 09:00-12:00 UTC"
OPENING = NOON + 2 * HOUR + MARGIN

BEGINNING = """[defaults]
key_id = "k"
secret_file = "key"
[shops.acme]
"""


def mail(number: int = 1, **fields: Any) -> Job:
    return make_job(number, channel="email", destination=f"friend{number}@example.com", **fields)


def moved(bench: Bench) -> list[tuple[Job, int]]:
    """What was moved into the held lane so far, and when each may go."""
    assert all(lane == "held" for _, _, lane, _ in bench.port.events("moved"))
    return [(job, until) for _, job, _, until in bench.port.events("moved")]


def bring_back(bench: Bench) -> None:
    """Have what was moved into the held lane delivered from there, with the notes that its message carries."""
    taken, bench.port.moved = bench.port.moved, []
    for delivery in taken:
        again = Delivery(delivery.job, delivery.request)
        again.lane, again.moved_at, again.moved_from = "held", delivery.moved_at, delivery.moved_from
        bench.consumer.gate.offer(again)


def rest(bench: Bench) -> None:
    """Run until what was moved has been looked at in the held lane, and nothing of it moves any more."""
    for _ in range(4):
        assert next(bench.consumer) is None
        bring_back(bench)
    assert next(bench.consumer) is None
    assert bench.port.moved == []


def test_emails_wait_for_the_window_and_others_go() -> None:
    bench = Bench(window=AFTERNOON)
    bench.offer(mail(1), make_job(2), mail(3), make_job(4))
    assert [bench.take().job.line for _ in range(2)] == [2, 4]
    assert moved(bench) == [(mail(1), OPENING), (mail(3), OPENING)]
    assert bench.port.events("delayed") == []


def test_what_waits_aside_goes_at_the_opening_in_its_order() -> None:
    """To the instant, before the shop's others, and nothing moves meanwhile."""
    bench = Bench(window=AFTERNOON)
    bench.clock.set(OPENING - 40 * SECOND)
    bench.start()
    bench.offer(*(mail(number) for number in range(1, 5)))
    rest(bench)
    bench.offer(make_job(9, campaign="texts"))
    assert bench.take().job.line == 9
    bench.offer(make_job(10, campaign="texts"))
    bench.clock.set(OPENING)
    assert [bench.take().job.line for _ in range(5)] == [1, 2, 3, 4, 10]
    assert len(moved(bench)) == 4


def test_the_lane_is_looked_through_at_each_opening_and_once_more() -> None:
    """Behind what still waits there may be others whose window has opened, and some that came a moment late."""
    bench = Bench()
    bench.clock.set(OPENING - 40 * SECOND)
    bench.start()
    bench.offer(mail(1, window=EVENING), mail(2, window=AFTERNOON))
    assert next(bench.consumer) is None
    behind = bench.port.moved.pop()
    rest(bench)
    assert [job.line for job, _ in moved(bench)] == [1, 2]
    bench.clock.set(OPENING)
    assert next(bench.consumer) is None
    assert [job.line for job, _ in moved(bench)] == [1, 2, 1]
    bring_back(bench)
    bench.port.moved.append(behind)
    bring_back(bench)
    assert bench.take().job.line == 2
    bench.clock.set(OPENING + SETTLED - 1)
    assert next(bench.consumer) is None
    assert [job.line for job, _ in moved(bench)] == [1, 2, 1, 1]


def test_a_lane_is_looked_through_now_and_then() -> None:
    """A process can't know all that waits behind what it has in hand. It looks more rarely while nothing goes."""
    bench = Bench()
    bench.offer(mail(1, window=EVENING))
    rest(bench)
    looks: list[int] = []
    while len(looks) < 6:
        while len(moved(bench)) == 1 + len(looks):
            assert next(bench.consumer) is None
        looks.append(bench.clock.now() // SECOND * SECOND - NOON)
        bring_back(bench)
    pauses = [later - earlier for earlier, later in pairwise(looks)]
    assert FIRST <= looks[0] <= FIRST + TIMEOUT * SECOND
    assert pauses == sorted(pauses)
    assert LONGEST <= pauses[-1] <= LONGEST + TIMEOUT * SECOND


def test_a_clock_that_is_set_back_moves_nothing_in_circles() -> None:
    bench = Bench(window=MORNING)
    bench.clock.set(NOON + 23 * HOUR)
    bench.offer(mail())
    assert bench.take().job == mail()
    bench.clock.correct(-3 * HOUR)
    bench.offer(mail(2))
    rest(bench)
    assert [job.line for job, _ in moved(bench)][:3] in ([2], [2, 2])
    bench.clock.correct(3 * HOUR)
    assert bench.take().job.line == 2


def test_urgent_jobs_wait_aside_too() -> None:
    bench = Bench(window=AFTERNOON)
    urgent = Delivery(mail(), replace(bench.consumer.request_for(mail(), make_shop()), urgent=True))
    urgent.lane = "urgent"
    bench.consumer.gate.offer(urgent)
    assert next(bench.consumer) is None
    assert moved(bench) == [(mail(), OPENING)]


def test_a_job_may_have_a_window_of_its_own() -> None:
    bench = Bench()
    bench.offer(mail(1, window=AFTERNOON), mail(2))
    assert bench.take().job.line == 2
    assert moved(bench) == [(mail(1, window=AFTERNOON), OPENING)]


def test_both_windows_must_be_open() -> None:
    bench = Bench(window="11:00-16:00 UTC")
    bench.offer(mail(window=AFTERNOON))
    assert next(bench.consumer) is None
    bench.clock.set(NOON + 5 * HOUR)
    bench.offer(mail(window=AFTERNOON))
    assert next(bench.consumer) is None
    tomorrow = NOON + 26 * HOUR + MARGIN
    assert [until for _, until in moved(bench)] == [OPENING, tomorrow]


def test_a_shop_whose_channels_all_keep_to_the_window_closes() -> None:
    """Its jobs stay where they are, in their order."""
    bench = Bench(ShopRegistry.of(make_shop(window=AFTERNOON, window_channels=["*"]), make_shop("zeta")))
    bench.offer(make_job(1), mail(2), make_job(3, shop="zeta"))
    assert bench.take().job.shop == "zeta"
    assert next(bench.consumer) is None
    assert bench.consumer.gate.reasons("acme") == {"window": OPENING}
    assert bench.port.events("delayed") == []
    bench.clock.set(OPENING)
    assert [bench.take().job.line for _ in range(2)] == [1, 2]


def test_channels_that_are_named_keep_to_the_window() -> None:
    bench = Bench(window=AFTERNOON, window_channels=["whatsapp"])
    bench.offer(make_job(1), mail(2))
    assert bench.take().job.line == 2
    assert moved(bench) == [(make_job(1), OPENING)]


def test_a_job_whose_window_closed_after_its_grant_waits_for_the_next_opening() -> None:
    bench = Bench(window=MORNING)
    bench.clock.set(NOON - 2 * SECOND)
    bench.offer(mail())
    delivery = bench.take()
    assert delivery.grant is not None
    bench.clock.set(NOON)
    bench.store.release(delivery.request, delivery.grant.epoch, called=False)
    bench.report(delivery, Return(delivery.grant.epoch))
    assert next(bench.consumer) is None
    assert moved(bench) == [(mail(), NOON + 21 * HOUR + MARGIN)]


def test_windows_go_by_the_wall_clock() -> None:
    bench = Bench(window=AFTERNOON)
    bench.clock.correct(3 * HOUR)
    bench.offer(mail())
    assert bench.take().job == mail()


def test_a_shop_opens_and_closes_with_the_wall_clock_once_that_is_corrected() -> None:
    bench = Bench(window=AFTERNOON, window_channels=["*"])
    bench.offer(make_job())
    assert next(bench.consumer) is None
    bench.clock.correct(-HOUR)
    assert next(bench.consumer) is None
    assert bench.consumer.gate.reasons("acme") == {"window": OPENING + HOUR}
    bench.clock.correct(4 * HOUR)
    assert bench.take().job == make_job()


def test_a_shop_opens_when_the_shops_file_takes_its_window_away(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("secret")
    path = tmp_path / "shops.toml"
    path.write_text(f'{BEGINNING}window = "{AFTERNOON}"\nwindow_channels = ["*"]\n')
    bench = Bench(ShopRegistry.load(path))
    bench.offer(make_job())
    assert next(bench.consumer) is None
    path.write_text(BEGINNING)
    assert bench.take().job == make_job()


def test_a_deadline_within_the_closed_hours_ends_the_job_then() -> None:
    bench = Bench(window=AFTERNOON)
    bench.offer(mail(not_after=to_datetime(NOON + HOUR)))
    assert next(bench.consumer) is None
    assert bench.port.events("delayed")[0][2] == NOON + HOUR + 1
    assert moved(bench) == []


def test_the_shop_is_shown_as_closed_by_its_window() -> None:
    bench = Bench(ShopRegistry.of(make_shop(window=AFTERNOON), make_shop("zeta")))
    labels = {"shop": "acme", "reason": "window"}
    assert next(bench.consumer) is None
    assert bench.counted.get_sample_value("referral_shop_closed", labels) == 1
    bench.clock.set(OPENING)
    assert next(bench.consumer) is None
    assert bench.counted.get_sample_value("referral_shop_closed", labels) == 0
