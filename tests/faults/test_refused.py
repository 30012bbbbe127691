"""A firewall answers some calls by a page: a job's trouble is not its shop's, and everybody's trouble is no job's."""

import time
from collections.abc import Collection

import pytest

from tests.faults import behaviours
from tests.faults.jobs import FaultJob
from tests.faults.site import PATIENCE, Site
from tests.faults.upstream import PROMPT, Behaviour, Call, Plan, always
from tests.services import wait_until

WORKERS = 2
JOBS = 600
EACH = JOBS // 3

CALLS_EACH = 5
"""Calls of one refused job: three, and some that seemed for a moment to be refused to everybody."""

WATCHED_SECONDS = 20
FLAPS = 3
EVERYBODY = 3
"""Different jobs that are refused in a row before a worker closes their shop."""


def firewall(unlucky: Collection[str]) -> Plan:
    """Refuses the calls of these jobs; Status2, which names no job, is answered."""
    return lambda call: behaviours.FIREWALL if call.job_id in unlucky else PROMPT


def everybody(call: Call) -> Behaviour:
    """Refuses every call of one shop, but for Status2."""
    return behaviours.FIREWALL if call.shop == "acme" and call.number else PROMPT


def of_acme(site: Site) -> list[FaultJob]:
    """The jobs of the shop that has the trouble."""
    return [job for job in site.jobs(JOBS) if job.shop == "acme"]


def begin(site: Site, plan: Plan, **keys: object) -> None:
    """Two workers, and jobs for three shops."""
    site.upstream.plan = plan
    site.configure(tables={"acme": keys})
    site.start(WORKERS)
    site.publish(site.jobs(JOBS))


@pytest.mark.parametrize("number", [1, 30])
def test_refused_alone(site: Site, number: int) -> None:
    """The first jobs of a shop are refused whenever they are called, more than are called at once: they fail, all
    others are sent, and the log names them."""
    unlucky = {job.job_id for job in of_acme(site)[:number]}
    begin(site, firewall(unlucky))
    site.faults += number
    site.settle()

    site.judge()
    assert site.ended.outcomes == {"sent": JOBS - number, "failed/http_403": number}
    assert {event["job_id"] for event in site.events("job_refused") if event["then"] == "failed"} == unlucky
    assert {event["job_id"] for event in site.events("job_refused")} == unlucky
    assert site.upstream.treated()[behaviours.FIREWALL.name] <= CALLS_EACH * number


def test_refused_everybody(site: Site) -> None:
    """A shop that answered well refuses everybody of a sudden, while Status2 takes its token: no job of it ends."""
    begin(site, always(PROMPT), per_second=20, burst=1)
    wait_until(lambda: len(site.upstream.calls(shop="acme")) >= EACH // 4, PATIENCE, "calls that are answered well")
    site.upstream.plan = everybody
    wait_until(lambda: site.events("shop_closed"), PATIENCE, "the shop to be closed")
    time.sleep(WATCHED_SECONDS)  # that no job ends can only be watched
    site.faults += site.upstream.treated()[behaviours.FIREWALL.name]
    site.upstream.plan = always(PROMPT)
    site.settle()

    site.judge()
    assert site.ended.outcomes == {"sent": JOBS}


def test_refused_by_turns(site: Site) -> None:
    """A firewall that comes and goes burns no job, though some were refused each time and others served between."""
    begin(site, always(PROMPT), per_second=10, burst=1)
    for _ in range(FLAPS):
        await_served(site, 10)
        site.upstream.plan = everybody
        refused = site.upstream.treated()[behaviours.FIREWALL.name] + EVERYBODY
        await_treated(site, behaviours.FIREWALL, refused)
        site.upstream.plan = always(PROMPT)
    site.faults += site.upstream.treated()[behaviours.FIREWALL.name]
    site.settle()

    site.judge()
    assert site.ended.outcomes == {"sent": JOBS}


def await_served(site: Site, more: int) -> None:
    """Wait until so many more calls of the shop were answered well."""
    calls = len(site.upstream.calls(shop="acme")) + more
    wait_until(lambda: len(site.upstream.calls(shop="acme")) >= calls, PATIENCE, "calls that are answered well")


def await_treated(site: Site, behaviour: Behaviour, times: int) -> None:
    """Wait until so many calls were treated this way."""
    wait_until(lambda: site.upstream.treated()[behaviour.name] >= times, PATIENCE, f"{times} times {behaviour.name}")
