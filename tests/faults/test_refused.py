"""A firewall answers some calls by a page: a job's trouble is not its shop's, and everybody's trouble is no job's."""

import math
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

GOOD = 20
"""Calls that a shop answers well before it refuses everybody."""

WATCHED_SECONDS = 20
FLAPS = 3

REFUSED = 6
"""Calls that each flap refuses: at least one of two workers closes the shop, by three different jobs."""


def firewall(unlucky: Collection[str]) -> Plan:
    """Refuses the calls of these jobs; Status2, which names no job, is answered."""
    return lambda call: behaviours.FIREWALL if call.job_id in unlucky else PROMPT


def by_turns(*calls: float) -> Plan:
    """Answers so many calls of one shop well, refuses the next so many whichever they are, and so on; Status2 is
    answered."""
    left = list(calls)

    def plan(call: Call) -> Behaviour:
        if call.shop != "acme" or not call.number:
            return PROMPT
        while left and left[0] <= 0:
            del left[0]
        refuses = bool(left) and (len(calls) - len(left)) % 2 == 1
        if left:
            left[0] -= 1
        return behaviours.FIREWALL if refuses else PROMPT

    return plan


def of_acme(site: Site) -> list[FaultJob]:
    """The jobs of the shop that has the trouble."""
    return [job for job in site.jobs(JOBS) if job.shop == "acme"]


def begin(site: Site, plan: Plan) -> None:
    """Two workers, and jobs for three shops."""
    site.upstream.plan = plan
    site.configure()
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
    begin(site, by_turns(GOOD, math.inf))
    wait_until(lambda: site.events("shop_closed"), PATIENCE, "the shop to be closed")
    time.sleep(WATCHED_SECONDS)  # that no job ends can only be watched
    site.faults += site.upstream.treated()[behaviours.FIREWALL.name]
    site.upstream.plan = always(PROMPT)
    site.settle()

    site.judge()
    assert site.ended.outcomes == {"sent": JOBS}


def test_refused_by_turns(site: Site) -> None:
    """A firewall that comes and goes burns no job, though some are refused each time and others served in between."""
    begin(site, by_turns(*[GOOD, REFUSED] * FLAPS))
    site.settle()
    site.faults += site.upstream.treated()[behaviours.FIREWALL.name]

    site.judge()
    assert site.faults == FLAPS * REFUSED
    assert site.ended.outcomes == {"sent": JOBS}
