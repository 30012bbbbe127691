"""A campaign's brake: it trips once whatever breaks around it, soon enough to save a list, and not for an outage."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.faults import broker_faults, repaired
from tests.faults.behaviours import REJECTED, THROTTLED, UNAVAILABLE
from tests.faults.jobs import CAMPAIGN, FaultJob
from tests.faults.site import GRANTS, PATIENCE, SHOPS, THREADS, Site
from tests.faults.upstream import PROMPT, Behaviour, Call, slow
from tests.services import wait_until
from tests.unit.rawserver import Connection

WORKERS = 2
PER_SECOND = 20
WINDOW = 50
KNOWN_SECONDS = 2
"""After which no call starts any more: every worker knows of an order within one, and a grant lives for 0.25 s."""

LIST = 100_000
"""Rows of another shop's list."""

OUTAGE_SECONDS = 600


FAULTS: dict[str, Callable[[Site], None]] = {
    "worker_killed": repaired.worker_killed,
    "connections_closed": broker_faults.connections_closed,
    "store_killed": repaired.store_killed,
}


def await_calls_of_acme(site: Site, enough: int) -> None:
    """Until its window is nearly full."""
    wait_until(lambda: len(site.upstream.calls(shop="acme")) >= enough, PATIENCE, "nearly the window")


def publish(site: Site, jobs: list[FaultJob], *options: str) -> None:
    """By the command, which arms the brake."""
    site.command("publish", site.export(jobs), "--campaign", CAMPAIGN, *options)
    site.published |= {job.job_id: True for job in jobs}


def told(site: Site, *arguments: str) -> dict[str, Any]:
    """What a command prints for a program."""
    ended = site.desk.run(*arguments, "--json", timeout=PATIENCE)
    assert ended.returncode == 0, ended.stderr
    data: dict[str, Any] = json.loads(ended.stdout)
    return data


def braked(site: Site) -> list[str]:
    """Where the brake holds the campaign."""
    found = told(site, "campaigns", "list")["campaigns"]
    return [each["shop"] for each in found if each["held"] and each["held"]["kind"] == "brake"]


def trips(site: Site) -> int:
    """How often the brake has tripped."""
    return sum(order["action"] == "brake" for order in told(site, "log")["orders"])


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_braked(site: Site, fault: Callable[[Site], None]) -> None:
    """One shop's customers are nobody's. Whatever breaks just before its brake trips, or just after, it trips once, and
    the other shops go on; resumed, it counts from nothing. Nothing is lost, or repeated beyond calls in flight."""
    site.configure(per_second=PER_SECOND, burst=1)
    bad, good = REJECTED, slow(0.1)
    site.upstream.plan = lambda call: bad if call.shop == "acme" else good
    site.start(WORKERS)
    rounds = site.times(20, once=2)
    each = WINDOW + PER_SECOND * (KNOWN_SECONDS + 3)
    publish(site, site.jobs(len(SHOPS) * each * rounds), "--brake", f"50%/{WINDOW}")
    before = 0
    for number in range(rounds):
        if number % 2:
            await_calls_of_acme(site, before + WINDOW - THREADS)
            fault(site)
            wait_until(lambda: braked(site) == ["acme"], PATIENCE, "the brake")
        else:
            wait_until(lambda: braked(site) == ["acme"], PATIENCE, "the brake")
            fault(site)
        site.faults += 1
        time.sleep(KNOWN_SECONDS)  # from then on it may only be watched that nobody calls
        calls = len(site.upstream.calls(shop="acme"))
        # The results that count, those whose worker or connection was lost, and the calls of the moments in which all
        # hear of it.
        assert calls - before <= WINDOW + WORKERS * GRANTS * 2 + PER_SECOND * KNOWN_SECONDS
        time.sleep(1)  # the watch itself
        assert len(site.upstream.calls(shop="acme")) == calls, "a campaign was called that its brake holds"
        assert trips(site) == number + 1
        if number == rounds - 1:
            site.upstream.plan = lambda _: good
        # Of what it was while it is held: on a busy machine the brake may trip again before the command has ended.
        before = calls
        site.command("campaigns", "resume", CAMPAIGN, "--shop", "acme")
    site.settle()

    assert trips(site) == rounds
    # Each of the threads of a worker that was killed may have had a call under way.
    site.judge(repeats=THREADS * site.faults)
    assert set(site.ended.outcomes) == {"sent", "rejected/no_customers_match_customer_identity"}


def test_another_shop_s_list(site: Site) -> None:
    """100,000 rows of which each is rejected, on four workers: it stops after 200 results and what was in flight. What
    is left ends by `cancel`, without a call."""
    site.configure(per_second=100, burst=1)
    site.upstream.plan = lambda _: REJECTED
    rows = [FaultJob("acme", number) for number in range(site.times(LIST, once=5_000))]
    site.start(4)
    publish(site, rows)
    wait_until(lambda: braked(site) == ["acme"], PATIENCE, "the brake")
    site.faults += 1
    time.sleep(KNOWN_SECONDS)  # from then on it may only be watched that nobody calls
    calls = len(site.upstream.calls())
    time.sleep(5)  # the watch itself
    assert len(site.upstream.calls()) == calls
    print(f"{calls} calls of {len(rows):,} rows")
    # In flight, and what was called in the second in which the workers hear first of the brake, and then of its trip.
    assert calls <= 200 + 4 * GRANTS + 2 * 100
    site.command("cancel", CAMPAIGN)
    site.settle(PATIENCE * 5)

    site.judge()
    assert site.ended.outcomes == {
        "rejected/no_customers_match_customer_identity": calls,
        "cancelled": len(rows) - calls,
    }


def test_an_outage_trips_no_brake(site: Site) -> None:
    """Refer2 refuses, throttles and hangs by turns for ten minutes. Even the strictest brake takes no notice, though
    some jobs end as failed."""
    site.configure(per_second=PER_SECOND, burst=5, max_attempts=2)

    def hang(connection: Connection) -> None:
        connection.wait(8)

    hanging = Behaviour("hanging", hang, carries_out=False)
    kinds = (UNAVAILABLE, UNAVAILABLE, THROTTLED, hanging)

    def broken(call: Call) -> Behaviour:
        return kinds[call.number % len(kinds)]

    site.start(WORKERS)
    jobs = site.jobs(600)
    publish(site, jobs, "--brake", "1%/10")
    site.await_calls(PER_SECOND)
    site.upstream.plan = broken
    ends_at = time.monotonic() + site.times(OUTAGE_SECONDS, once=30)
    while time.monotonic() < ends_at:
        time.sleep(5)  # the outage itself
        assert not braked(site)
    site.faults += 1
    site.upstream.plan = lambda _: PROMPT
    site.settle(PATIENCE * 2)

    assert trips(site) == 0
    site.judge(repeats=len(site.upstream.calls()))
    assert site.ended.outcomes["sent"] > len(jobs) // 2
