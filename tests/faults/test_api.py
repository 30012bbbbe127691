"""Refer2 misbehaves for one shop of three: the right verdict each time, and the others don't notice."""

import time
from itertools import count

import pytest

from tests.faults import behaviours
from tests.faults.jobs import CAMPAIGN
from tests.faults.site import PATIENCE, THREADS, Site
from tests.faults.upstream import PROMPT, SENT, Behaviour, Call, Plan, always
from tests.services import wait_until
from tests.services.process import free_ports
from tests.unit.rawserver import RawServer, sends

WORKERS = 2
JOBS = 90
EACH = JOBS // 3

BAD_CALLS = 4
"""Calls that are treated badly, few enough for the breaker to stay closed."""

DEADLINE_SECONDS = 5.2
"""Of a whole call, by the site's settings. Twice as long is no measure, but a thread that was stuck."""

WAITS = {behaviours.THROTTLED.name: behaviours.RETRY_AFTER, behaviours.THROTTLED_BARE.name: 1}
"""Seconds after a 429 before its customer may be called again: as it says, or else the vendor's shortest window."""

IN_A_ROW = {"5xx": 10, "firewall": 1, "401": 1}
"""Such answers in a row that a worker takes before it closes the shop."""

CLOSED_SECONDS = 10

PROBES = 5
"""Calls that a closed shop may make until the row heals it, after those that were under way: the pauses between them
double from 5 s, so that no more fall into the time that a row waits for anything."""

UNREADABLE = {
    behaviours.RESET: "connection_lost",
    behaviours.TRUNCATED: "connection_lost",
    behaviours.NOT_JSON: "unreadable_answer",
    behaviours.LARGE: "unreadable_answer",
    behaviours.DRIPPING: "timeout",
    behaviours.BOMB: "unreadable_answer",
    behaviours.NO_REFERRAL: "unreadable_answer",
}
"""The code of the result, where the shop reports what is unknown."""


def name_of(behaviour: Behaviour) -> str:
    """Its name in the name of its row."""
    return behaviour.name


def at_first(behaviour: Behaviour, *shops: str) -> Plan:
    """Treats the first calls of these shops badly, and all others well."""
    left = dict.fromkeys(shops, BAD_CALLS)

    def plan(call: Call) -> Behaviour:
        if left.get(call.shop, 0):
            left[call.shop] -= 1
            return behaviour
        return PROMPT

    return plan


def all_of_acme(behaviour: Behaviour) -> Plan:
    """Treats every call of one shop badly."""
    return lambda call: behaviour if call.shop == "acme" else PROMPT


def begin(site: Site, plan: Plan, **keys: object) -> None:
    """Two workers, and jobs for three shops."""
    site.upstream.plan = plan
    site.configure(tables={"acme": keys})
    site.start(WORKERS)
    site.publish(site.jobs(JOBS))


def others_are_done(site: Site) -> bool:
    """Whether the shops that fare well have made all their calls."""
    return all(len(site.upstream.calls(shop=shop)) == EACH for shop in ("bolt", "core"))


def finish(site: Site, *, repeats: int = 0) -> None:
    """Nothing is lost, and no thread is stuck: no call took longer than it may, and the workers stop in order."""
    site.settle()
    site.judge(repeats=repeats)
    assert max(site.ended.latencies) < 2 * DEADLINE_SECONDS
    site.stop()


@pytest.mark.parametrize("behaviour", [behaviours.UNAVAILABLE, behaviours.INTERNAL_ERROR], ids=name_of)
def test_refused(site: Site, behaviour: Behaviour) -> None:
    """A 5xx: nothing was done, so the calls are made again, and their jobs are sent."""
    begin(site, at_first(behaviour, "acme"))
    site.faults += BAD_CALLS
    finish(site)

    assert site.ended.outcomes == {"sent": JOBS}
    assert site.upstream.treated() == {behaviour.name: BAD_CALLS, "sent": JOBS}


@pytest.mark.parametrize("behaviour", [behaviours.THROTTLED, behaviours.THROTTLED_BARE], ids=name_of)
def test_throttled(site: Site, behaviour: Behaviour) -> None:
    """A 429 is no attempt, of which these jobs have one, and is waited out as long as it says."""
    begin(site, at_first(behaviour, "acme"), max_attempts=1)
    site.faults += BAD_CALLS
    finish(site)

    assert site.ended.outcomes == {"sent": JOBS}
    assert site.upstream.treated() == {behaviour.name: BAD_CALLS, "sent": JOBS}
    calls = site.upstream.calls(shop="acme")
    for number, bad in enumerate(calls[:BAD_CALLS]):
        again = next(call for call in calls[number + 1 :] if call.job_id == bad.job_id)
        assert again.at - bad.at >= WAITS[behaviour.name] * 1_000_000


@pytest.mark.parametrize("behaviour", UNREADABLE, ids=name_of)
def test_unreadable(site: Site, behaviour: Behaviour) -> None:
    """The answer is lost: one shop reports that, as its file says, and the other calls once more for each."""
    begin(site, at_first(behaviour, "acme", "bolt"), on_unknown="report")
    site.faults += 2 * BAD_CALLS
    finish(site, repeats=BAD_CALLS)

    assert site.ended.outcomes == {"sent": JOBS - BAD_CALLS, f"unknown/{UNREADABLE[behaviour]}": BAD_CALLS}
    assert site.verdict().repeats == BAD_CALLS


def test_every_answer_is_lost(site: Site) -> None:
    """An upstream that carries a job out and always answers too late: one repeat an attempt, and a result says so."""
    attempts = 3
    (unlucky,) = site.jobs(1)

    def plan(call: Call) -> Behaviour:
        return behaviours.DRIPPING if call.job_id == unlucky.job_id else PROMPT

    begin(site, plan, max_attempts=attempts)
    site.faults += attempts
    finish(site, repeats=attempts - 1)

    assert site.ended.outcomes == {"sent": JOBS - 1, "unknown/timeout": 1}
    assert site.upstream.treated() == {"drip_fed": attempts, "sent": JOBS - 1}


@pytest.mark.parametrize("behaviour", [behaviours.FIREWALL, behaviours.BAD_TOKEN, behaviours.UNAVAILABLE], ids=name_of)
def test_closed(site: Site, behaviour: Behaviour) -> None:
    """What every job would be answered, or a storm of 5xx, closes the shop after a few calls; no job of it fails."""
    begin(site, all_of_acme(behaviour))
    wait_until(lambda: site.events("shop_closed"), PATIENCE, "the shop to be closed")
    wait_until(lambda: others_are_done(site), PATIENCE, "the other shops to be done")
    site.faults += len(site.upstream.calls(shop="acme"))
    # Those under way when it closed, at each worker, and a probe or two since.
    assert site.faults <= WORKERS * (IN_A_ROW[behaviour.name] + THREADS + PROBES)
    assert not any("core" in str(event["shop"]) or "bolt" in str(event["shop"]) for event in site.events("shop_closed"))
    site.upstream.plan = always(PROMPT)
    finish(site)

    assert site.ended.outcomes == {"sent": JOBS}


def test_closed_everywhere(site: Site) -> None:
    """A version that is gone is nobody's own fault: the first such answer closes every shop, until one answers well."""
    begin(site, always(behaviours.OBSOLETE))
    wait_until(lambda: len(site.events("shop_closed")) >= WORKERS, PATIENCE, "each worker to have closed every shop")
    wait_until(lambda: site.upstream.in_progress == 0, PATIENCE, "the calls under way to end")
    site.faults += len(site.upstream.calls())
    assert site.faults <= WORKERS * (1 + THREADS + PROBES)
    assert all(event["every_shop"] for event in site.events("shop_closed"))
    site.upstream.plan = always(PROMPT)
    finish(site)

    assert site.ended.outcomes == {"sent": JOBS}


def test_a_bad_secret_burns_nothing(site: Site) -> None:
    """However many jobs are queued: a handful of calls, no result, and every job is there to be cancelled."""
    jobs = site.times(100_000, once=3_000)
    site.configure(per_second=1000, burst=100)
    site.upstream.plan = always(behaviours.BAD_TOKEN)
    site.command("publish", site.export(site.jobs(jobs)), "--campaign", CAMPAIGN, "--yes")
    site.published = {job.job_id: True for job in site.jobs(jobs)}
    site.start(WORKERS)
    wait_until(lambda: len(shops_closed(site)) == len(site.shops), PATIENCE, "every shop to be closed")
    wait_until(lambda: site.upstream.in_progress == 0, PATIENCE, "the calls under way to end")
    time.sleep(CLOSED_SECONDS)  # that hardly anybody calls can only be watched
    site.faults += len(site.upstream.calls())
    for shop in site.shops:
        assert len(site.upstream.calls(shop=shop)) <= WORKERS * THREADS + PROBES
    assert site.take() == []
    assert sum(site.depths().values()) == jobs
    site.command("cancel", CAMPAIGN, "--yes")
    site.settle(10 * PATIENCE)

    site.judge()
    assert site.ended.outcomes == {"cancelled": jobs}


def shops_closed(site: Site) -> set[object]:
    """Those that some worker has closed."""
    return {event["shop"] for event in site.events("shop_closed")}


def test_a_changed_secret_heals_at_once(site: Site) -> None:
    """A 401 in mid-campaign closes the shop; a new secret opens it, whenever the next probe would have been."""
    good_until = count(1 - EACH // 3)

    def plan(call: Call) -> Behaviour:
        return behaviours.BAD_TOKEN if call.key_id == "key-acme" and next(good_until) > 0 else PROMPT

    begin(site, plan, per_second=10, burst=1)
    # So few calls were good that each worker has jobs left, by the prefetch of either.
    wait_until(lambda: len(site.events("shop_closed")) >= WORKERS, PATIENCE, "the shop to be closed by both workers")
    site.faults += site.upstream.treated()[behaviours.BAD_TOKEN.name]
    # It would take a 401 or two more, with growing pauses between them.
    assert site.faults <= WORKERS * (1 + THREADS + PROBES)
    site.configure(tables={"acme": {"per_second": 10, "burst": 1, "key_id": "key-rotated"}})
    finish(site)

    assert site.ended.outcomes == {"sent": JOBS}


def test_refused_connections(site: Site) -> None:
    """Nobody listens where one shop is called: its jobs wait, no attempt is spent, and go on once somebody does."""
    begin(site, always(PROMPT), base_url=f"http://127.0.0.1:{free_ports(1)[0]}", max_attempts=1)
    wait_until(lambda: site.events("shop_closed"), PATIENCE, "the shop to be closed")
    wait_until(lambda: others_are_done(site), PATIENCE, "the other shops to be done")
    site.faults += 1
    site.configure()
    finish(site)

    assert site.ended.outcomes == {"sent": JOBS}


def test_redirected(site: Site) -> None:
    """A redirect to another host is not followed: nobody there sees the token, and the shop is closed."""
    with RawServer(sends(SENT)) as elsewhere:
        begin(site, all_of_acme(behaviours.redirects_to(elsewhere.url)))
        wait_until(lambda: site.events("shop_closed"), PATIENCE, "the shop to be closed")
        site.faults += 1
        site.upstream.plan = always(PROMPT)
        finish(site)

        assert elsewhere.requests == []
    assert site.ended.outcomes == {"sent": JOBS}
