"""A campaign's end, as the forecast says it and as a simulation of each of its jobs comes to it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from worker.instants import DAY, SECOND, from_datetime, to_datetime
from worker.limits.token_bucket import day_of
from worker.model.campaign_orders import CampaignOrder, Hold
from worker.model.windows import MARGIN
from worker.planning.circumstances import Hours, Shop, Workers
from worker.planning.forecast import customer_done_at, forecast, least_that_count, with_one_more
from worker.planning.lumps import lumps_of
from worker.shops.config import ShopTable, listed_fields
from worker.simulator.fleet import Fleet
from worker.simulator.scenario import BEGIN, Load, Scenario
from worker.store.shop_state import ShopState

MIDNIGHT = BEGIN + DAY // 2


def shop(ahead: int = 0, state: ShopState | None = None, **table: object) -> Shop:
    fields = listed_fields("any", ShopTable.model_validate(table))
    return Shop(fields["limits"], fields["max_in_flight"], fields["weight"], ahead, state)


def each(jobs: Sequence[int], shops: Sequence[Shop], workers: Workers, owners: Sequence[int]) -> list[int]:
    """When each shop is done, by a simulation of each job; the first shop's customers have so many jobs each."""
    loads = [
        Load(
            number,
            ShopTable(max_in_flight=one.max_in_flight),
            None if index or not owners else customers_of(number, owners).__getitem__,
            ahead=one.ahead,
            limits=one.limits,
            state=one.state,
        )
        for index, (number, one) in enumerate(zip(jobs, shops, strict=True))
    ]
    report = Fleet(Scenario(loads, processes=workers.processes, threads=workers.threads, call=workers.call)).run()
    return [found.ended for found in report.shops.values()]


def customers_of(jobs: int, owners: Sequence[int]) -> list[str]:
    """The customer of each job, spread evenly; those of nobody in particular are each another's."""
    places = [((turn + 0.5) / own, f"big{number}") for number, own in enumerate(owners) for turn in range(own)]
    rest = jobs - sum(owners)
    places += [((turn + 0.5) / rest, f"c{turn}") for turn in range(rest)]
    return [name for _, name in sorted(places)]


@pytest.mark.parametrize(
    ("jobs", "shops", "workers", "owners"),
    [
        pytest.param([300], [shop()], Workers(), [], id="small"),
        pytest.param([13_000], [shop()], Workers(), [], id="by the shop's rate"),
        pytest.param([13_000], [shop(per_second=1000)], Workers(), [], id="by threads"),
        pytest.param([13_000], [shop()], Workers(processes=2, call=300_000), [], id="by threads of two workers"),
        pytest.param([13_000], [shop(per_day=3501)], Workers(), [], id="over four days"),
        pytest.param(
            [13_000],
            [shop(per_day=9000, state=ShopState(BEGIN, 10_000, BEGIN + 3600 * SECOND, 8765, None))],
            Workers(),
            [],
            id="with most of today's quota used",
        ),
        pytest.param([3000, 500], [shop(ahead=8000), shop(ahead=3000, per_second=30)], Workers(), [], id="a queue"),
        pytest.param([10_000, 450, 3000], [shop(), shop(per_second=5), shop(per_second=30)], Workers(), [], id="shops"),
        pytest.param([14_000], [shop()], Workers(), [450, 210], id="over a customer's day"),
        pytest.param([600], [shop()], Workers(), [300], id="one customer has half of it"),
        pytest.param(
            [13_000],
            [shop(per_day=15_000, reserve_per_day=10_000, reserve_per_second=2)],
            Workers(),
            [],
            id="a reserve",
        ),
    ],
)
def test_a_forecast_is_what_a_simulation_of_each_job_comes_to(
    jobs: Sequence[int], shops: Sequence[Shop], workers: Workers, owners: Sequence[int]
) -> None:
    """Within 5 %, whatever decides: rates, threads, days, a customer, or what is queued ahead."""
    names = [f"s{number}" for number in range(len(jobs))]
    found = forecast(
        dict(zip(names, jobs, strict=True)),
        {"s0": owners},
        dict(zip(names, shops, strict=True)),
        workers,
        BEGIN,
    )
    for name, done_at in zip(names, each(jobs, shops, workers, owners), strict=True):
        assert found.shops[name].done_at - BEGIN == pytest.approx(done_at - BEGIN, rel=0.05)
        assert found.shops[name].days == day_of(done_at, 0) - day_of(BEGIN, 0) + 1


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_no_lump_holds_jobs_of_two_days(size: int) -> None:
    """As many days of lumps as of jobs: one lump more than a day's would cost the whole of another day."""
    per_day = 100
    a_day = -(-per_day // size)
    for left in (0, 1, 50, 100):
        for jobs in range(1, 500):
            lumps = lumps_of(jobs, size, left, per_day)
            days = -(-max(0, jobs - left) // per_day)
            assert -(-max(0, lumps - -(-left // size)) // a_day) == days


@pytest.mark.parametrize(
    ("jobs", "done_at"),
    [
        (0, BEGIN),
        (2, BEGIN),
        (4, BEGIN + SECOND),
        (200, BEGIN + 99 * SECOND),
        (201, MIDNIGHT),
        (404, MIDNIGHT + DAY + SECOND),
    ],
)
def test_a_customer_is_done_by_its_own_limits_at_the_earliest(jobs: int, done_at: int) -> None:
    """Two at once, two a second, 200 a day."""
    assert customer_done_at(jobs, shop().limits, BEGIN) == done_at


def test_a_customer_with_thousands_of_jobs_costs_no_more_time() -> None:
    """It is done after as many days as it has quotas, which nobody has to simulate."""
    found = forecast({"acme": 60_000}, {"acme": [50_000]}, {"acme": shop()}, Workers(), BEGIN)
    assert found.shops["acme"].days == 250


def test_customers_whose_limits_hold_nothing_back_need_not_be_counted() -> None:
    """Of a large campaign only those over their daily quota matter, of a small one everybody with two jobs."""
    limits = shop().limits
    assert least_that_count(1_000_000, limits) == 200
    assert least_that_count(100, limits) == 1


def test_one_more_worker_helps_where_threads_are_short() -> None:
    """And nothing where the shop's own rate decides."""
    slow = Workers(call=400_000)
    shops: Mapping[str, Shop] = {"acme": shop()}
    one, two = (forecast({"acme": 5000}, {}, shops, workers, BEGIN) for workers in (slow, with_one_more(slow)))
    assert two.done_at - BEGIN < 0.6 * (one.done_at - BEGIN)
    fast = Workers(call=50_000)
    one, two = (forecast({"acme": 5000}, {}, shops, workers, BEGIN) for workers in (fast, with_one_more(fast)))
    assert two.done_at - BEGIN == pytest.approx(one.done_at - BEGIN, rel=0.02)


def test_an_operators_limit_slows_until_it_ends() -> None:
    """Ten a second for 100 s, then the file's hundred."""
    slowed = Shop(shop().limits, slowed=(SECOND // 10, BEGIN + 100 * SECOND))
    found = forecast({"acme": 3000}, {}, {"acme": slowed}, Workers(call=50_000), BEGIN)
    assert found.done_at - BEGIN == pytest.approx(120 * SECOND, rel=0.05)


def test_jobs_that_are_not_called_in_time_end_at_their_deadline() -> None:
    """A hundred a second for 30 s; the others end without a call."""
    found = forecast({"acme": 20_000}, {}, {"acme": shop()}, Workers(call=50_000), BEGIN, BEGIN + 30 * SECOND)
    assert found.done_at == BEGIN + 30 * SECOND
    assert found.shops["acme"].late == pytest.approx(17_000, rel=0.05)


def test_nothing_to_send_is_done_at_once() -> None:
    """Also where other shops' queues are long."""
    found = forecast({"acme": 0}, {}, {"acme": shop(ahead=100)}, Workers(), BEGIN)
    assert (found.shops, found.done_at, found.last) == ({}, BEGIN, None)


OFFICE = "Mon-Fri 09:00-18:00 UTC"
FRIDAY_EVENING = from_datetime(datetime(2026, 11, 27, 19, tzinfo=UTC))


def test_closed_hours_count() -> None:
    """Jobs that keep to hours wait for Monday, and go on at the shop's pace then."""
    kept = {"acme": Hours(3000, OFFICE)}
    found = forecast({"acme": 3000}, {}, {"acme": shop()}, Workers(), FRIDAY_EVENING, None, kept).shops["acme"]
    monday = from_datetime(datetime(2026, 11, 30, 9, tzinfo=UTC))
    assert found.opens_at == monday + MARGIN
    assert found.kept == 3000
    whole = forecast({"acme": 3000}, {}, {"acme": shop()}, Workers(), monday).shops["acme"]
    assert abs(found.done_at - whole.done_at) <= 3 * SECOND


def test_a_night_between_two_days_counts() -> None:
    """What the hours that are left don't suffice for goes on in the next ones."""
    afternoon = from_datetime(datetime(2026, 11, 26, 17, 59, tzinfo=UTC))
    found = forecast({"acme": 6000}, {}, {"acme": shop()}, Workers(), afternoon, None, {"acme": Hours(6000, OFFICE)})
    assert to_datetime(found.done_at).date() == date(2026, 11, 27)
    assert to_datetime(found.done_at).hour == 9
    assert found.shops["acme"].opens_at == 0


def test_jobs_that_keep_no_hours_do_not_wait() -> None:
    """A thousand of 3,000 are e-mails: the others are done before, and the e-mails on Monday."""
    kept = {"acme": Hours(1000, OFFICE)}
    found = forecast({"acme": 3000}, {}, {"acme": shop()}, Workers(), FRIDAY_EVENING, None, kept)
    alone = forecast({"acme": 1000}, {}, {"acme": shop()}, Workers(), found.shops["acme"].opens_at)
    assert abs(found.done_at - alone.done_at) <= 3 * SECOND


def test_the_campaigns_own_hours_count_beside_the_shops() -> None:
    kept = {"acme": Hours(100, OFFICE, "Tue 10:00-11:00 UTC")}
    found = forecast({"acme": 100}, {}, {"acme": shop()}, Workers(), FRIDAY_EVENING, None, kept)
    assert to_datetime(found.done_at).date() == date(2026, 12, 1)
    assert to_datetime(found.done_at).hour == 10


def test_the_hours_that_are_closed_are_told() -> None:
    """From Friday evening to Monday, and the night in which 40,000 jobs at 1 a second are not done."""
    kept = {"acme": Hours(40_000, OFFICE)}
    slow = {"acme": shop(per_second=1, burst=1)}
    found = forecast({"acme": 40_000}, {}, slow, Workers(), FRIDAY_EVENING, None, kept).shops["acme"]
    monday = from_datetime(datetime(2026, 11, 30, 9, tzinfo=UTC))
    hour = 3600 * SECOND
    assert [(begin - monday) // hour for begin, _ in found.closed] == [-62, 8]
    assert [(end - monday) // hour for _, end in found.closed] == [0, 24]
    # 9 hours less the two seconds that calls keep away from both ends are 32,398 calls.
    assert found.done_at == pytest.approx(monday + 24 * hour + 7602 * SECOND, abs=0.01 * 40_000 * SECOND)
    assert found.starts_at == pytest.approx(found.opens_at, abs=SECOND)
    assert not forecast({"acme": 100}, {}, slow, Workers(), FRIDAY_EVENING).shops["acme"].closed


@pytest.mark.parametrize(
    ("jobs", "interval", "per_day", "days", "last"),
    [
        pytest.param(600, SECOND // 10, 0, 1, 60 * SECOND, id="ten a second"),
        pytest.param(20_000, SECOND // 5, 0, 1, 4000 * SECOND, id="in lumps"),
        pytest.param(250, 0, 100, 3, DAY // 2 + DAY + 2 * SECOND, id="a hundred a day"),
        pytest.param(8_000, SECOND // 10, 3500, 3, DAY // 2 + DAY + 100 * SECOND, id="both, in lumps"),
        pytest.param(30_000, 60 * SECOND, 0, 22, 30_000 * 60 * SECOND, id="for three weeks"),
    ],
)
def test_a_campaigns_pace_counts(jobs: int, interval: int, per_day: int, days: int, last: int) -> None:
    """Within 2 % and some seconds; what is queued before is not held up by it."""
    one = replace(shop(), order=CampaignOrder(interval=interval, per_day=per_day))
    found = forecast({"acme": jobs}, {}, {"acme": one}, Workers(), BEGIN).shops["acme"]
    assert found.done_at - BEGIN == pytest.approx(last, rel=0.02, abs=6 * SECOND)
    assert found.days == days
    behind = forecast({"acme": jobs}, {}, {"acme": replace(one, ahead=1000)}, Workers(), BEGIN).shops["acme"]
    assert behind.done_at - BEGIN == pytest.approx(last, rel=0.02, abs=20 * SECOND)


@pytest.mark.parametrize(("jobs", "per_day"), [(600, 500), (24_000, 20_000)])
@pytest.mark.parametrize(("used", "days"), [(0, 2), (0.9, 3), (1, 3)])
def test_what_a_pace_has_used_of_today_counts(jobs: int, per_day: int, used: float, days: int) -> None:
    """The rest of it goes on the days that follow."""
    state = ShopState(BEGIN, 10_000, 0, 0, None, campaign_today=int(used * per_day))
    one = replace(shop(), order=CampaignOrder(per_day=per_day), state=state)
    found = forecast({"acme": jobs}, {}, {"acme": one}, Workers(), BEGIN).shops["acme"]
    assert found.days == days


def test_a_campaign_with_a_start_begins_then() -> None:
    """At once after it, at the shop's pace, however long the queue that goes before it meanwhile."""
    start = BEGIN + 3600 * SECOND
    ahead = {"acme": shop(ahead=8000)}
    found = forecast({"acme": 3000}, {}, ahead, Workers(), BEGIN, starts_at=start).shops["acme"]
    assert start <= found.starts_at <= start + 2 * SECOND
    assert found.done_at - start == pytest.approx(30 * SECOND, rel=0.05, abs=2 * SECOND)


def test_a_campaign_that_is_held_counts_as_resumed() -> None:
    """As a paused shop does: nobody knows when."""
    held = replace(shop(), order=CampaignOrder(hold=Hold("paused", "wrong texts", BEGIN)))
    free, found = (forecast({"acme": 3000}, {}, {"acme": one}, Workers(), BEGIN) for one in (shop(), held))
    assert found.done_at == free.done_at
