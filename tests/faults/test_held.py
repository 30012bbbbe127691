"""A campaign is held and let go while something breaks: its jobs move between queues, and none is lost or repeated."""

import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from tests.faults import broker_faults, repaired
from tests.faults.jobs import CAMPAIGN, FaultJob, campaign_of
from tests.faults.nodes import Nodes
from tests.faults.site import PATIENCE, THREADS, Site
from tests.faults.upstream import always, slow
from tests.services import wait_until

WORKERS = 2
PER_SECOND = 20
JOBS = 240
LOAD = 30
"""Jobs a second that are published meanwhile, half of what may be called, so that there are always some."""

KNOWN_SECONDS = 2
"""After which no call starts any more: every worker knows of an order within one, and a grant lives for 0.25 s."""

Fault = Callable[[Site], None]


@pytest.fixture(scope="session")
def nodes(breakable: Nodes) -> Nodes:
    """One that these rows may break as long as they repair it."""
    return breakable


FAULTS: dict[str, Fault] = {
    "worker_killed": repaired.worker_killed,
    "connections_closed": broker_faults.connections_closed,
    "broker_crashed": broker_faults.crashed,
    "store_killed": repaired.store_killed,
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_held(site: Site, fault: Fault) -> None:
    """While it is held none is called, whatever breaks as its jobs step aside; let go, each is called once."""
    site.configure(per_second=PER_SECOND, burst=1)
    site.upstream.plan = always(slow(0.1))
    site.start(WORKERS)
    site.publish(site.jobs(JOBS))
    with site.load(per_second=LOAD, first=JOBS):
        for _ in range(site.times(20)):
            site.await_calls(6)
            site.command("campaigns", "pause", CAMPAIGN, "--reason", "wrong texts")
            fault(site)
            time.sleep(KNOWN_SECONDS)  # from then on it may only be watched that nobody calls
            before = len(site.upstream.calls())
            time.sleep(1)  # the watch itself
            assert len(site.upstream.calls()) == before, "a held campaign was called"
            site.command("campaigns", "resume", CAMPAIGN)
            fault(site)
            site.faults += 2
    site.settle()

    # Each of the threads of a worker that was killed may have had a call under way.
    verdict = site.judge(repeats=THREADS * site.faults)
    assert site.ended.outcomes == {"sent": len(verdict.ok)}


FIRST = 500
IN_HAND = 250
"""Jobs that a worker takes at once while it moves them, and so how far one may come from its place."""

SHOP = "acme"


@pytest.mark.parametrize("starts_in", [None, timedelta(seconds=40)], ids=["first", "not_before"])
def test_the_rest(site: Site, starts_in: timedelta | None) -> None:
    """What `publish --first` or `--not-before` holds back outlives a worker and the broker, and is then called once and
    in order but for what workers had in hand, beginning with its release or its time.
    """
    site.shops = (SHOP,)
    site.configure(per_second=2000, burst=100)
    jobs = [FaultJob(SHOP, number) for number in range(site.times(100_000, once=3_000))]
    site.start(WORKERS)
    # An earlier order: what comes later must not take it for its own release.
    site.command("campaigns", "pause", "earlier", "--reason", "wrong texts")
    site.command("campaigns", "resume", "earlier")
    starts = datetime.now(UTC) + starts_in if starts_in is not None else None
    if starts is None:
        site.publish_export(jobs, "--first", str(FIRST))
        wait_until(lambda: len(site.upstream.calls()) >= FIRST, PATIENCE, "the first calls")
    else:
        site.publish_export(jobs, "--not-before", starts.isoformat())
    before = len(site.upstream.calls())
    for fault in (repaired.worker_killed, broker_faults.crashed):
        fault(site)
        site.faults += 1
    if starts is None:
        time.sleep(KNOWN_SECONDS)  # that nobody calls can only be watched
        assert len(site.upstream.calls()) == before == FIRST, "what was to wait was called"
        site.command("campaigns", "release", CAMPAIGN)
    site.settle(10 * PATIENCE)

    # Whoever was killed or lost the broker may have had calls under way.
    site.judge(repeats=2 * THREADS * site.faults)
    assert site.ended.outcomes == {"sent": len(jobs)}
    calls = site.upstream.calls()
    assert starts is None or min(call.at for call in calls) >= starts.timestamp() * 1_000_000, "called too early"
    numbers = {job.email: job.number for job in jobs}
    # Each worker's, since one may be slower than the other.
    latest: dict[int, int] = {}
    for call in calls:
        behind = latest.get(call.port, 0) - numbers[call.email]
        assert behind <= 2 * WORKERS * IN_HAND, f"a job was called after one that is {behind} later"
        latest[call.port] = max(latest.get(call.port, 0), numbers[call.email])


PER_DAY = 30


def test_a_day_of_a_pace(site: Site) -> None:
    """A campaign has its calls of the day and no more, while others go on; after the reset it has those of the next."""
    reset = datetime.now(UTC) + timedelta(seconds=120)
    reset = reset.replace(second=0, microsecond=0)
    site.shops = (SHOP,)
    site.configure(per_second=20, burst=5, day_resets_at=f"{reset:%H:%M}")
    paced = [FaultJob(SHOP, number) for number in range(2 * PER_DAY + 10)]
    others = [FaultJob(SHOP, number, campaign="others") for number in range(200)]
    site.command("campaigns", "pace", CAMPAIGN, "--per-day", str(PER_DAY))
    site.start(WORKERS, processes=2)
    site.publish([*paced, *others])

    def called() -> Counter[str]:
        return Counter(campaign_of(call.email) for call in site.upstream.calls())

    wait_until(lambda: called()["others"] == len(others), PATIENCE, "the others")
    assert datetime.now(UTC) < reset, "the others took too long: this row shows nothing"
    wait_until(lambda: called()[CAMPAIGN] >= 2 * PER_DAY, PATIENCE, "the second day's calls")
    time.sleep(KNOWN_SECONDS)  # that it has no more can only be watched
    site.command("cancel", CAMPAIGN, "--yes")
    site.settle()

    site.judge()
    at = reset.timestamp() * 1_000_000
    days = Counter(call.at >= at for call in site.upstream.calls() if campaign_of(call.email) == CAMPAIGN)
    assert days == {False: PER_DAY, True: PER_DAY}
    assert site.ended.outcomes == {"sent": 2 * PER_DAY + len(others), "cancelled": 10}
