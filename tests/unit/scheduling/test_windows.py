"""Jobs outside of their windows: they wait out of the way, and none starts by a clock that was corrected."""

from pathlib import Path
from typing import Any

from tests.unit.making import NOON, make_job, make_shop
from tests.unit.scheduling.test_loop import Bench
from worker.instants import SECOND, to_datetime
from worker.model.dispositions import Return
from worker.model.job import Job
from worker.model.windows import MARGIN
from worker.shops.registry import ShopRegistry

HOUR = 3600 * SECOND

AFTERNOON = "Mon-Fri 14:00-18:00 UTC"
MORNING = "Mon-Fri 09:00-12:00 UTC"
OPENING = NOON + 2 * HOUR + MARGIN

BEGINNING = """[defaults]
key_id = "k"
secret_file = "key"
[shops.acme]
"""


def mail(number: int = 1, **fields: Any) -> Job:
    return make_job(number, channel="email", destination=f"friend{number}@example.com", **fields)


def test_emails_wait_for_the_window_and_others_go() -> None:
    bench = Bench(window=AFTERNOON)
    bench.offer(mail(1), make_job(2), mail(3), make_job(4))
    assert [bench.take().job.line for _ in range(2)] == [2, 4]
    assert bench.port.events("delayed") == [
        ("delayed", mail(1), OPENING, None),
        ("delayed", mail(3), OPENING, None),
    ]


def test_an_opening_that_is_near_is_waited_for_in_memory() -> None:
    bench = Bench(window=AFTERNOON)
    bench.clock.set(OPENING - 2 * SECOND)
    bench.offer(mail())
    assert bench.take().job == mail()
    assert bench.clock.now() == OPENING


def test_a_job_may_have_a_window_of_its_own() -> None:
    bench = Bench()
    bench.offer(mail(1, window=AFTERNOON), mail(2))
    assert bench.take().job.line == 2
    assert bench.port.events("delayed") == [("delayed", mail(1, window=AFTERNOON), OPENING, None)]


def test_both_windows_must_be_open() -> None:
    bench = Bench(window="11:00-16:00 UTC")
    bench.offer(mail(window=AFTERNOON))
    assert next(bench.consumer) is None
    bench.clock.set(NOON + 5 * HOUR)
    bench.offer(mail(window=AFTERNOON))
    assert next(bench.consumer) is None
    tomorrow = NOON + 26 * HOUR + MARGIN
    assert [event[2] for event in bench.port.events("delayed")] == [OPENING, tomorrow]


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
    assert bench.port.events("delayed") == [("delayed", make_job(1), OPENING, None)]


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
    assert bench.port.events("delayed") == [("delayed", mail(), NOON + 21 * HOUR + MARGIN, None)]


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


def test_the_shop_is_shown_as_closed_by_its_window() -> None:
    bench = Bench(ShopRegistry.of(make_shop(window=AFTERNOON), make_shop("zeta")))
    labels = {"shop": "acme", "reason": "window"}
    assert next(bench.consumer) is None
    assert bench.counted.get_sample_value("referral_shop_closed", labels) == 1
    bench.clock.set(OPENING)
    assert next(bench.consumer) is None
    assert bench.counted.get_sample_value("referral_shop_closed", labels) == 0
