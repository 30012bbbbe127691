"""Urgent jobs on a fleet: called at once beside a campaign, whatever the shop's limits, and nobody starves."""

from hypothesis import given, settings
from hypothesis import strategies as st

from worker.instants import SECOND
from worker.shops.config import ShopTable
from worker.simulator.fleet import Fleet
from worker.simulator.report import Report
from worker.simulator.scenario import Load, Scenario


def run(load: Load, processes: int = 4, store_round_trip: int = 500) -> Report:
    """A fleet with this one shop."""
    return Fleet(Scenario([load], processes=processes, store_round_trip=store_round_trip)).run()


def test_a_campaign_keeps_no_urgent_job_waiting() -> None:
    """Beside a campaign at 25 a second, each urgent job is called within a second, and the whole rate is used."""
    report = run(Load(3000, ShopTable(per_second=25), urgent=(100, SECOND)))
    shop = report.shops["s0"]
    assert len(shop.urgent_waits) == 100
    assert max(shop.urgent_waits) < SECOND
    assert shop.over() == 0
    assert report.used > 0.95


def test_a_reserve_lets_them_start_at_once() -> None:
    """With tokens kept for them, urgent jobs don't even wait for what is granted ahead to others."""
    report = run(Load(3000, ShopTable(per_second=25, reserve_per_second=10), urgent=(100, SECOND)))
    assert sorted(report.shops["s0"].urgent_waits)[90] < SECOND // 20
    assert report.over() == 0


def test_urgent_jobs_outlive_the_campaigns_day() -> None:
    """Once the campaign has had its part of the day, urgent jobs go on as before."""
    table = ShopTable(per_second=100, per_day=1000, reserve_per_day=500)
    load = Load(500, table, urgent=(200, SECOND), ahead=400)
    shop = run(load).shops["s0"]
    assert max(shop.urgent_waits) < SECOND
    assert shop.over() == 0


@settings(max_examples=25, deadline=None)
@given(
    table=st.builds(
        ShopTable,
        per_second=st.sampled_from([3.0, 20.0, 100.0]),
        burst=st.sampled_from([1, 2, 20]),
        per_day=st.sampled_from([40, 100_000]),
        reserve_per_second=st.sampled_from([0.0, 1.0, 2.4]),
        reserve_per_day=st.sampled_from([0, 7, 39]),
    ),
    jobs=st.integers(0, 60),
    urgent=st.tuples(st.integers(0, 60), st.sampled_from([0, 10_000, SECOND])),
    processes=st.sampled_from([1, 2, 5]),
    round_trip=st.sampled_from([0, 500, 20_000]),
)
def test_every_job_is_called_and_no_limit_exceeded(
    table: ShopTable, jobs: int, urgent: tuple[int, int], processes: int, round_trip: int
) -> None:
    """Whatever the limits, the reserves and the mixture, all jobs are called in the end, within the limits."""
    report = run(Load(jobs, table, urgent=urgent), processes, store_round_trip=round_trip)
    shop = report.shops["s0"]
    assert len(shop.starts) == jobs + urgent[0]
    assert len(shop.urgent_waits) == urgent[0]
    assert report.over() == 0
